"""What was typed to start this process, and where."""

from __future__ import annotations

import os
import re
import shlex
import sys
import warnings
from pathlib import Path

from orchestrator.process.secrets import without_secret

SUBMITTED = "ORCH_SUBMITTED"
"""Set in the environment of a sweep that a cluster runs by itself."""
_typed = False


def is_orch() -> None:
    """This process is the command `orch`, whatever its file is called."""
    global _typed
    _typed = True


def let_libraries_warn() -> None:
    """Let a warning be no error of a library, here and in what is started, whatever PYTHONWARNINGS says."""
    if any(action == "error" for action, *_ in warnings.filters):
        warnings.filterwarnings("default", module=r"(?!(orchestrator|trainers)\b)")
        asked = os.environ.get("PYTHONWARNINGS", "")
        os.environ["PYTHONWARNINGS"] = re.sub(r"(^|,)\s*error\b", r"\1default", asked)


def leave_removed_folder() -> None:
    """Go on in / if this process's working folder was removed: libraries, and what it starts, ask for one."""
    try:
        os.getcwd()
    except FileNotFoundError:
        os.chdir("/")


def is_command() -> bool:
    """Whether this process is the command `orch`, and not somebody's that uses it."""
    return _typed


def typed_command() -> str:
    """The command as it was typed, without user and password of an address; of others only their file.

    The address of a webhook is a secret as a whole.
    """
    if _typed:
        words = [re.sub(r"(?s)^(--notify=).*", r"\1...", word) for word in sys.argv[1:]]
        words = [
            "..." if before == "--notify" else word for before, word in zip(["", *words], words, strict=False)
        ]
        return shlex.join(["orch", *(without_secret(word) for word in words)])
    return shlex.join(["python", Path(sys.argv[0] or "-").name])
