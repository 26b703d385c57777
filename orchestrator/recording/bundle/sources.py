"""The texts that a sweep is read from, named below one folder, for another machine to read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from orchestrator.language.load import plugin_files, sweep_files, tree_of
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import written
from orchestrator.recording.bundle.layout import parts
from orchestrator.recording.bundle.reading import open_bundle


class Sources(NamedTuple):
    """Texts by name below `top`; `file` is the sweep's."""

    texts: dict[str, str]
    file: str
    top: Path


def sources(file: Path, *, trust: bool) -> Sources:
    """A sweep file, what it extends and its plug-ins; no texts of one that comes with orch.

    Args:
        file: a sweep file.
        trust: as for `load_sweep`.
    """
    texts = sweep_files(file, trust=trust)
    return _below_one_folder(texts, file) if texts else Sources({}, str(file), Path())


def whole_sources(spec: SweepSpec, file: Path | None, *, trust: bool) -> Sources:
    """The same, and a file that asks for the same trials alone: it extends none, and `file` names it.

    Args:
        spec: the sweep.
        file: where it is from: a sweep file, or a sweep in a bundle; None: it was built in Python.
        trust: as for `load_sweep`.
    """
    if file is not None and (named := parts(file)) is not None:
        bundle = open_bundle(named[0])
        key, sweep = bundle.sweep(named[1])
        texts = {name: bundle.read(f"sweeps/{key}/{name}").decode() for name in bundle.names(f"sweeps/{key}")}
        return Sources(texts, sweep.file, Path())
    own = f"{spec.name}.orch.yaml"
    found = _below_one_folder(plugin_files(spec), Path(own)) if file is None else sources(file, trust=trust)
    return Sources({**found.texts, own: written(tree_of(spec, found.top))}, own, found.top)


def _below_one_folder(texts: dict[Path, str], file: Path) -> Sources:
    files = {Path(os.path.abspath(path)): text for path, text in texts.items()}
    at = Path(os.path.abspath(file))
    top = Path(os.path.commonpath([path.parent for path in (*files, at)]))
    return Sources(
        {str(path.relative_to(top)): text for path, text in files.items()}, str(at.relative_to(top)), top
    )
