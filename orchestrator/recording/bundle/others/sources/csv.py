"""A table in a CSV file: one line per run, or per run and epoch."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

from orchestrator.errors import UsageError, printable
from orchestrator.language.hints import cut
from orchestrator.recording.bundle.others.sources.base import Run, Runs, content_of

SOURCE = "a file in UTF-8 with commas between columns and a point in numbers"
MOST_LINES = 1_000_000
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read(source: str, *, experiment: str | None = None) -> Runs:
    """The lines of a CSV file.

    Raises:
        UsageError: it is not there, is empty, is of another encoding or separator, or a line does not fit.
    """
    if experiment is not None:
        raise UsageError(f"--experiment {experiment}: a CSV file has no experiments; leave it out")
    path = Path(source)
    content = content_of(path)
    return Runs(path.name, hashlib.sha256(content).hexdigest(), *_table(source, _text(source, content)))


def _text(source: str, content: bytes) -> str:
    if content.startswith(_UTF16) or b"\x00" in content[:1000]:
        raise UsageError(f"{source}: is UTF-16, or no text; save it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")  # a mark at its beginning, as Excel writes it, is no column
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{source}:{line}: byte 0x{content[error.start]:02x} is no UTF-8; save it as CSV in UTF-8, "
            "such as by iconv -f latin1 -t utf-8"
        ) from None


def _table(source: str, text: str) -> tuple[tuple[str, ...], tuple[Run, ...]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Run] = []
    head: list[str] | None = None
    try:
        for line in reader:
            if not any(field.strip() for field in line):
                continue
            if head is None:
                head = _head(source, line)
                continue
            if len(line) != len(head):
                raise UsageError(
                    f"{source}:{reader.line_num}: has {len(line)} fields, and the first line {len(head)}; a "
                    "comma inside a field, as in 85,7, needs quotes around it or a point instead"
                )
            if len(rows) == MOST_LINES:
                raise UsageError(
                    f"{source}: has more than {MOST_LINES} lines; import the parts that you need"
                )
            values = {name: field.strip() for name, field in zip(head, line, strict=True) if field.strip()}
            rows.append(Run(f"{source}:{reader.line_num}", values))
    except csv.Error as error:
        raise UsageError(
            f"{source}:{reader.line_num}: {error}; mend that line, or save the file anew"
        ) from None
    if head is None:
        raise UsageError(f"{source}: is empty; expected a first line with the names of columns")
    if not rows:
        raise UsageError(f"{source}: has names of columns, and no line below them")
    return tuple(head), tuple(rows)


def _head(source: str, line: list[str]) -> list[str]:
    head = [printable(name.strip()) for name in line]
    for sign, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(line) == 1 and sign in line[0]:
            raise UsageError(
                f"{source}: has {word} between its columns; save it with commas, and with points in numbers"
            )
    if twice := next((name for name in head if name and head.count(name) > 1), None):
        raise UsageError(f"{source}: two columns are called '{cut(twice)}'; give one another name")
    return [name or f"column {number}" for number, name in enumerate(head, 1)]
