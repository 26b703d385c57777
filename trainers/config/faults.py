"""What is wrong with a plug-in, in one line."""

from __future__ import annotations

import traceback
from pathlib import Path


class PluginError(ValueError):
    """Plug-ins cannot be used; a line for each: file and line, what is wrong, what to do."""


def shown(path: Path) -> str:
    """A path as a person would name it from the working folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def told(error: BaseException, place: str, own: Path, *, what: str = "cannot be imported") -> str:
    """What is wrong with a plug-in, in one line, with the last line that was reached of its files.

    Args:
        error: what it raised.
        place: what a person calls it.
        own: the folder of its files, or the name of its installed package.
        what: went wrong.
    """
    if isinstance(error, PluginError):
        return str(error)
    if isinstance(error, SyntaxError):
        where = shown(Path(error.filename)) if error.filename else place
        return f"{where}:{error.lineno or 1}: not valid Python: {error.msg}"
    frames = [
        one
        for one in traceback.extract_tb(error.__traceback__)
        if (file := Path(one.filename)).parent == own or own.name in (*file.parts, file.stem)
    ]
    where = f"{shown(Path(frames[-1].filename))}:{frames[-1].lineno}" if frames else place
    reason = " ".join(str(error).split())[:300]
    return f"{where}: {what}: {type(error).__name__}: {reason}"
