"""Python runs this first if its folder is in PYTHONPATH: Ray then ends the process that shuts it down.

A thread that is older than Ray lets go of objects while Ray is shut down. Ray answers such a late call by
ending the process with exit code 1.
"""

import sys
import threading
import time


def watch():
    while not getattr(sys.modules.get("ray"), "is_initialized", bool)():
        time.sleep(0.01)
    ray = sys.modules["ray"]
    if ray._private.worker.global_worker.mode != 0:  # a worker
        return
    kept, begun, shutdown = [ray.put(number) for number in range(5000)], threading.Event(), ray.shutdown

    def watched(*words, **named):
        begun.set()
        return shutdown(*words, **named)

    ray.shutdown = watched
    begun.wait()
    while kept:
        kept.pop()
        time.sleep(0.0005)


if "sweep" in sys.argv or any("execution.child" in word for word in sys.orig_argv):
    threading.Thread(target=watch, daemon=True).start()
