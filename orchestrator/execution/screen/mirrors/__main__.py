"""Delivers what waits for one mirror, in a process of its own that may be ended at any time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from orchestrator.execution.screen.mirrors import base, load
from orchestrator.process.secrets import without_secret

NICE = 10  # trials come first


def deliver(mirror: ModuleType, folder: Path) -> Iterator[str]:
    """Show what waits in `folder`, each result once; the ids of those that were shown.

    Raises:
        Exception: whatever the mirror raises; what was not shown waits on.
    """
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # another driver's process does it
        known = base.delivered(folder)
        for path in base.waiting(folder):
            run = base.read(path)
            if run is not None and known.get(run.trial.trial_id) != run.digest:
                mirror.deliver(run, folder, again=run.trial.trial_id in known)
                base.note_delivered(folder, run)
                known[run.trial.trial_id] = run.digest
                yield run.trial.trial_id
            path.unlink(missing_ok=True)


def main(name: str, folder: str) -> int:
    """Deliver, and say in lines of JSON on stdout what was shown, and why something was not."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print what they like, into the log
    try:
        for trial in deliver(load(name), Path(folder)):
            print(json.dumps({"shown": trial}), file=out, flush=True)
    except Exception as error:
        told = " ".join(without_secret(f"{type(error).__name__}: {error}").split())
        print(json.dumps({"error": told[:300]}), file=out, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
