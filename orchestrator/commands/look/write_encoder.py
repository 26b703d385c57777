"""A trial's encoder as a file, in a format of one's choice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from orchestrator.commands.request import Request
from orchestrator.errors import UsageError
from trainers.config.families import members, module
from trainers.networks import formats
from trainers.networks.kept import EncoderFileError, about_of


def write_encoder(request: Request, cell: str, out: Path | None, form: str) -> Iterator[str]:
    """Write the encoder of the one trial that is asked for; lines about it, and three that load it.

    Raises:
        UsageError: it was not kept, does not fit the format, or cannot be written.
    """
    if form not in members(formats.__name__):
        raise UsageError(f"no format '{form}'; known: {', '.join(members(formats.__name__))}")
    trial, content = request.encoder_file(cell)
    path = out or Path(
        f"{re.sub(r'[^A-Za-z0-9.-]+', '-', trial.cell.label).strip('-.')}-{trial.seed}.safetensors"
    )
    if path.exists():
        raise UsageError(f"{path}: is there already; remove it, or choose another name with --out")
    chosen = module(formats.__name__, form)
    try:
        with request.spec.names():
            about = about_of(content)
            converted = chosen.converted(content)
    except EncoderFileError as error:
        raise UsageError(f"trial {trial.label}, --format {form}: {error}") from None
    try:
        path.write_bytes(converted)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; choose another with --out") from None
    numbers = (", ".join(f"{value:.4g}" for value in values) for values in (about.mean, about.std))
    mean, std = numbers
    yield f"{path}: encoder of {trial.label}, {about.network.name}, {len(converted) / 2**20:.3g} MiB"
    yield f"  images [N, {', '.join(map(str, about.shape))}] in [0, 1], minus ({mean}), over ({std})"
    yield from chosen.lines(about, str(path))
