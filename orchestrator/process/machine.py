"""What of this machine is for this process."""

from __future__ import annotations

import functools
import glob
from pathlib import Path


def cores() -> int:
    """Cores that this process may use: a batch system or a container may give it fewer than there are."""
    from joblib import cpu_count  # counts affinity and control groups

    return int(cpu_count())


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there already."""
    return folder if folder.exists() else existing(folder.parent)


@functools.cache
def has_gpu() -> bool:
    """Whether torch can use a GPU; torch is only asked where the driver has made its device files."""
    if not glob.glob("/dev/nvidia[0-9]*"):
        return False
    import torch

    return torch.cuda.is_available()
