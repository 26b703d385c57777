"""What of this machine is for this process."""

from __future__ import annotations


def cores() -> int:
    """Cores that this process may use: a batch system or a container may give it fewer than there are."""
    from joblib import cpu_count  # counts affinity and control groups

    return int(cpu_count())
