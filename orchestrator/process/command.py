"""What was typed to start this process, and where."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from orchestrator.process.secrets import without_secret

SUBMITTED = "ORCH_SUBMITTED"
"""Set in the environment of a sweep that a cluster runs by itself."""
_typed = False


def is_orch() -> None:
    """This process is the command `orch`, whatever its file is called."""
    global _typed
    _typed = True


def is_command() -> bool:
    """Whether this process is the command `orch`, and not somebody's that uses it."""
    return _typed


def typed_command() -> str:
    """The command as it was typed, without user and password of an address; of others only their file."""
    if _typed:
        return shlex.join(["orch", *(without_secret(word) for word in sys.argv[1:])])
    return shlex.join(["python", Path(sys.argv[0] or "-").name])
