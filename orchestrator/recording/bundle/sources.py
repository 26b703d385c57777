"""The texts that a sweep is read from, named below one folder, for another machine to read."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.language.load import plugin_files, sweep_files, tree_of
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import written
from orchestrator.recording.bundle.layout import parts
from orchestrator.recording.bundle.reading import open_bundle


def sources(file: Path, *, trust: bool) -> tuple[dict[str, str], str]:
    """Texts by name of a sweep file, of what it extends and of its plug-ins; and which of them is the file.

    Args:
        file: a sweep file, or a sweep in a bundle.
        trust: as for `load_sweep`.
    """
    if (named := parts(file)) is not None:
        bundle = open_bundle(named[0])
        key, sweep = bundle.sweep(named[1])
        texts = {name: bundle.read(f"sweeps/{key}/{name}").decode() for name in bundle.names(f"sweeps/{key}")}
        return texts, sweep.file
    return _below_one_folder(sweep_files(file, trust=trust), file)


def sources_of(spec: SweepSpec) -> tuple[dict[str, str], str]:
    """The same of a sweep that was built in Python, as one file of the working folder would say it."""
    file = Path(f"{spec.name}.yaml")
    return _below_one_folder({file: written(tree_of(spec, Path())), **plugin_files(spec)}, file)


def _below_one_folder(texts: dict[Path, str], file: Path) -> tuple[dict[str, str], str]:
    files = {Path(os.path.abspath(path)): text for path, text in texts.items()}
    top = Path(os.path.commonpath([path.parent for path in files]))
    named = {str(path.relative_to(top)): text for path, text in files.items()}
    return named, str(Path(os.path.abspath(file)).relative_to(top))
