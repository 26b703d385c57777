"""Delivers what waits for one mirror, in a process of its own that may be ended at any time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from orchestrator.execution.screen.mirrors import base, load
from orchestrator.execution.screen.mirrors.base import MirroredRun
from orchestrator.process.secrets import without_secret

NICE = 10  # trials come first


def deliver(mirror: ModuleType, folder: Path, tries: Mapping[str, int] = {}) -> Iterator[dict[str, str]]:
    """Show what waits in `folder`, each result once, and then how far trials are that train.

    Args:
        mirror: where it is shown.
        folder: the mirror's.
        tries: how often something of a trial was not taken, by its id: such come last, or not at all.

    Yields:
        What becomes of each, for the driver: which one is tried, and that it was shown, or why not.

    Raises:
        OSError: the folder cannot be written.
    """
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # another driver's process does it
        known = base.delivered(folder)
        for path in sorted(base.waiting(folder), key=lambda path: tries.get(path.stem, 0)):
            trial = path.stem
            if tries.get(trial, 0) >= base.TRIES:
                break  # as all that come after it
            run = base.read(path)
            if run is not None and known.get(trial) != run.digest:
                yield {"trying": trial}
                if (why := _fault(mirror, run, folder, again=trial in known)) is not None:
                    yield {"failed": why}
                    continue
                base.note_delivered(folder, run)
                known[trial] = run.digest
                yield {"shown": trial}
            path.unlink(missing_ok=True)
        for path in base.going(folder):
            trial = path.stem
            run = None if trial in known or trial in tries else base.read(path, ended=False)
            if run is None or not run.curves or run.last <= base.last_shown(folder, trial):
                continue
            yield {"trying": trial}
            if (why := _fault(mirror, run, folder, again=False)) is not None:
                yield {"failed": why}
                continue
            base.note_shown(folder, run)
            yield {"going": trial}


def _fault(mirror: ModuleType, run: MirroredRun, folder: Path, *, again: bool) -> str | None:
    """Why the mirror does not take a trial, in one line; None: it does."""
    try:
        mirror.deliver(run, folder, again=again)
    except Exception as error:
        return _in_a_line(error)
    return None


def _in_a_line(error: Exception) -> str:
    return " ".join(without_secret(f"{type(error).__name__}: {error}").split())[:300]


def main(name: str, folder: str, tries: str) -> int:
    """Deliver, and say in lines of JSON on stdout what was shown, and why something was not."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print what they like, into the log
    try:
        for told in deliver(load(name), Path(folder), json.loads(tries)):
            print(json.dumps(told), file=out, flush=True)
    except Exception as error:
        print(json.dumps({"error": _in_a_line(error)}), file=out, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
