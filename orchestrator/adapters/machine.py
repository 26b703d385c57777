"""What of this machine is for this process."""

from __future__ import annotations

import os
import sys


def cores() -> int:
    """Cores that this process may use; a batch system, or a container, may give it fewer than there are."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
