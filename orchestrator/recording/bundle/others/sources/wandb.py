"""Runs of Weights & Biases: a folder of offline runs, or an exported CSV or JSON. Asks for no account.

An offline run is a file run-<id>.wandb: seven bytes of a header, then blocks of 32 KiB with records as in
LevelDB's logs (checksum 4, length 2, kind 1: whole, first, middle or last part), each a protocol buffer
`Record`, whose fields are given by number below. Needs no package of theirs.

Source: wandb/core, internal/transactionlog; wandb/proto/wandb_internal.proto.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.recording.bundle.others.sources import csv
from orchestrator.recording.bundle.others.sources.base import Curve, Run, Runs, columns_of, content_of, digest
from trainers.attempt.command.event_files import fields

SOURCE = "a folder wandb/ of offline runs, or an exported CSV or JSON"
_BLOCK, _HEADER = 32 * 2**10, 7
_RUN, _CONFIG, _HISTORY, _SUMMARY, _EXIT = 17, 5, 2, 3, 18
_KEY, _NESTED, _JSON = 1, 2, 16
_CODE = 1


def read(source: str, *, experiment: str | None = None) -> Runs:
    """The runs of a folder, or of an export: columns config.NAME, summary.NAME and run.

    Raises:
        UsageError: there are none, or one is damaged or cut off.
    """
    if experiment is not None:
        raise UsageError(f"--experiment {experiment}: runs of W&B have no experiments; leave it out")
    path = Path(source)
    if path.is_dir():
        return _offline(source, path)
    runs = _json(source, path) if path.suffix in (".json", ".jsonl") else csv.read(source)
    for one in runs.rows:
        state = str(next((v for name, v in one.values.items() if name.lower() == "state"), "finished"))
        if state != "finished":
            raise UsageError(f"{one.place}: the run is {state}, not finished; leave it out")
    return runs


def _offline(source: str, top: Path) -> Runs:
    files = sorted(top.rglob("*.wandb"))
    if not files:
        raise UsageError(f"{source}: has no offline runs, whose files end in .wandb")
    contents = {path: content_of(path) for path in files}
    rows = tuple(_run(path, content) for path, content in contents.items())
    whole = digest(part for path, text in contents.items() for part in (path.name.encode(), text))
    return Runs(top.resolve().name, whole, columns_of(rows), rows)


def _run(path: Path, content: bytes) -> Run:
    values: dict[str, str | float] = {"run": path.stem.removeprefix("run-")}
    curves: dict[str, dict[int, float]] = {}
    ended, code = False, 0
    try:
        for record in _records(content):
            for kind, part in fields(record):
                if kind == _EXIT and isinstance(part, bytes):
                    ended, code = True, int(dict(fields(part)).get(_CODE, 0))
                if kind == _RUN and isinstance(part, bytes):
                    known = dict(fields(part))
                    called = known.get(8)  # display_name
                    values |= {"run": called.decode()} if isinstance(called, bytes) and called else {}
                    values |= dict(_settings(known.get(4, b"")))
                elif kind == _CONFIG and isinstance(part, bytes):
                    values |= dict(_settings(part))
                elif kind == _SUMMARY and isinstance(part, bytes):
                    values |= {f"summary.{name}": v for name, v in _items(part) if isinstance(v, float)}
                elif kind == _HISTORY and isinstance(part, bytes):
                    numbers = {name: v for name, v in _items(part) if isinstance(v, float)}
                    step = int(numbers.get("_step", len(curves.get("_step", ()))))
                    for name, number in numbers.items():
                        curves.setdefault(name, {})[step] = number
    except (ValueError, struct.error, ArithmeticError, RecursionError) as error:
        told = str(error) or "is no run"
        raise UsageError(f"{path}: {told}; copy it again, or leave the run out") from None
    if not ended:
        raise UsageError(f"{path}: the run has no end: it was killed, or is cut off; leave it out")
    if code:
        raise UsageError(f"{path}: the run ended with exit code {code}, so it is no result; leave it out")
    drawn = {name: tuple(sorted(pairs.items())) for name, pairs in curves.items()}
    for name, pairs in drawn.items():
        values.setdefault(f"summary.{name}", pairs[-1][1])

    def curve(column: str) -> Curve:
        return drawn.get(column.removeprefix("summary."), ())

    return Run(str(path), values, curve)


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a log.

    Raises:
        ValueError: it is none, or is cut off.
    """
    if content[:4] != b":W&B":
        raise ValueError("is no run of W&B")
    at, parts = _HEADER, b""
    while at < len(content):
        if (left := _BLOCK - at % _BLOCK) < _HEADER:  # what is left of a block is filled up
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        if kind == 0 and length == 0:
            return
        data = content[at + _HEADER : at + _HEADER + length]
        if len(data) < length or kind not in (1, 2, 3, 4):
            raise ValueError(f"is damaged or cut off at byte {at}")
        parts = data if kind in (1, 2) else parts + data
        if kind in (1, 4):
            yield parts
        at += _HEADER + length


def _items(part: bytes) -> Iterator[tuple[str, Any]]:
    """Name and value of what a record was told, from JSON; numbers as floats."""
    for number, item in fields(part):
        if number != 1 or not isinstance(item, bytes):
            continue
        found = list(fields(item))
        keys = [v.decode() for n, v in found if n in (_KEY, _NESTED) and isinstance(v, bytes) and v]
        with contextlib.suppress(ValueError):
            text = next((v for n, v in found if n == _JSON and isinstance(v, bytes)), b"null")
            value = json.loads(text)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            yield ".".join(keys), float(value) if is_number else value


def _settings(part: bytes | int) -> Iterator[tuple[str, str]]:
    for name, value in _items(part) if isinstance(part, bytes) else ():
        if not name.startswith("_"):
            yield from _flat(f"config.{name}", value)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _flat(f"{name}.{key}", below)
    elif isinstance(value, float) and value.is_integer():
        yield name, str(int(value))
    elif value is not None:
        yield name, str(value)


def _json(source: str, path: Path) -> Runs:
    content = content_of(path)
    try:
        text = content.decode("utf-8-sig")
        found = (
            [json.loads(x) for x in text.splitlines() if x.strip()]
            if path.suffix == ".jsonl"
            else json.loads(text)
        )
    except (ValueError, RecursionError):
        raise UsageError(f"{source}: is no JSON in UTF-8; export it again") from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UsageError(f"{source}: expected a list of runs, each with config and summary")
    rows = []
    for number, one in enumerate(found, 1):
        values: dict[str, str | float] = {}
        for key, value in one.items():
            if key in ("summary", "_summary", "summary_metrics") and isinstance(value, dict):
                numbers = {
                    k: v for k, v in value.items() if isinstance(v, int | float) and not isinstance(v, bool)
                }
                with contextlib.suppress(OverflowError):  # of an integer that no float holds
                    values |= {f"summary.{k}": float(v) for k, v in numbers.items()}
            else:
                values |= dict(_flat("run" if key in ("name", "display_name") else str(key), value))
        rows.append(Run(f"{source}, run {number}", values))
    return Runs(path.name, hashlib.sha256(content).hexdigest(), columns_of(rows), tuple(rows))
