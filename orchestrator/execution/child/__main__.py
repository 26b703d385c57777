"""Where a child starts: tied to its driver first, for everything else takes a second to be imported.

Started by `Child` only, with the numbers of its two pipes and of its driver's process.
"""

import ctypes
import os
import signal
import sys

ON_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG

if __name__ == "__main__":
    if sys.platform == "linux":  # the kernel resumes this process when its driver dies, so that it can end
        ctypes.CDLL(None).prctl(ON_PARENTS_DEATH, signal.SIGCONT, 0, 0, 0)
    control, told, driver = (int(number) for number in sys.argv[1:])
    if os.getsid(0) != os.getpid():
        sys.exit("orch: this is started by `orch sweep`, in a session of its own")
    if os.getppid() != driver:  # it died before the kernel knew of that wish
        os._exit(1)
    from orchestrator.execution.child.main import main

    main(control, told, driver)
