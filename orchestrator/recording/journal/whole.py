"""Which kept encoders are whole: a file that was read once is read again only when it was changed.

It is told by its size, times and inode, as git tells an edited file. Whoever uses an encoder reads it and
compares its digest all the same (`whole_encoder`); what only asks whether it is there need not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

FRESH_S = 2.0


class WholeEncoders:
    """A file that remembers digests of files; what cannot be read of it is not known, and read anew."""

    def __init__(self, folder: Path, *, store: str) -> None:
        """The file in `folder` for the store of that name."""
        self.path = folder / f"encoders-{hashlib.sha256(store.encode()).hexdigest()[:12]}.json"

    def among(self, files: Mapping[str, Path], digests: Mapping[str, str]) -> set[str]:
        """The trials whose file has the digest (sha256) that is expected; nothing is said of the others."""
        before, whole = self._read() if files else {}, dict[str, list[str] | None]()
        for trial_id, file in files.items():
            with contextlib.suppress(OSError):
                there = file.stat()
                numbers = (there.st_size, there.st_mtime_ns, there.st_ctime_ns, there.st_ino)
                found = [digests[trial_id], "-".join(map(str, numbers))]
                if before.get(trial_id) != found and _digest(file) != digests[trial_id]:
                    continue
                # Clocks of file systems tick: what was just written could be written anew in the same tick.
                whole[trial_id] = found if time.time() - there.st_ctime > FRESH_S else None
        lasting = {trial_id: found for trial_id, found in whole.items() if found is not None}
        if not lasting.items() <= before.items():
            self._write(before | lasting)
        return set(whole)

    def _read(self) -> dict[str, object]:
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(self.path.read_bytes())
            return content if isinstance(content, dict) else {}
        return {}

    def _write(self, content: Mapping[str, object]) -> None:
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):  # a help for the next command, which must not stop this one
            part.write_text(json.dumps(content), encoding="utf-8")
            part.replace(self.path)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
