"""What a sweep is read from, named below one folder, for another machine to read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import Problem, SpecError
from orchestrator.language.load import SHIPPED, files_from, load, reader
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import parse, place_of, written
from orchestrator.recording.bundle.layout import parts
from orchestrator.recording.bundle.reading import open_bundle
from orchestrator.recording.bundle.selecting import tree_of
from trainers.config.filesets import sources as contents_of
from trainers.config.foreign import is_path, join


class Sources(NamedTuple):
    """Contents by name below `top`; `file` is the sweep's."""

    contents: dict[str, bytes]
    file: str
    top: Path


def sources(file: Path, *, trust: bool) -> Sources:
    """A sweep file, what it extends, its plug-ins and the files of commands; nothing that comes with orch.

    Args:
        file: a sweep file.
        trust: as for `load_sweep`.

    Raises:
        SpecError: one is named in a way that means nothing elsewhere.
    """
    found: dict[Path, bytes] = {}
    problems: list[Problem] = []
    read_one = reader(file, trust=trust)

    def read(name: str, child: str | None) -> tuple[str, str]:
        path, text = read_one(name, child)
        if not Path(path).is_relative_to(SHIPPED):
            found[Path(path)] = text.encode()
        tree = parse(text, path)
        for entry in tree.get("plugins") or ():  # strings: the sweep was read before
            if is_path(entry) and Path(entry).is_absolute():
                problems.append(_elsewhere(entry, place_of(tree, ("plugins",), path), "plugins"))
        return path, text

    spec = load(str(file), read, trust=trust)
    pairs = _named_files(spec)
    problems += [_elsewhere(path, f"{file}:1", "files") for _, path in pairs if Path(path).is_absolute()]
    if problems:
        raise SpecError(problems)
    found |= _beside(spec, f"{file}:1")
    return _below_one_folder(found, file) if found else Sources({}, str(file), Path())


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
        there = {name: bundle.read(f"sweeps/{key}/{name}") for name in bundle.names(f"sweeps/{key}")}
        return Sources(there, sweep.file, Path())
    own = f"{spec.name}.orch.yaml"
    if file is None:
        found = _below_one_folder(_beside(spec, spec.name), Path(own))
    else:
        found = sources(file, trust=trust)
    return Sources({**found.contents, own: written(tree_of(spec, found.top)).encode()}, own, found.top)


def _beside(spec: SweepSpec, place: str) -> dict[Path, bytes]:
    """The contents of a sweep's plug-ins and of its commands' files; of none that is installed.

    Also those of the sweeps from whose encoders it starts.
    """
    carried = [one.carried for entry in spec.plugins for one in join(entry)]
    others: dict[Path, bytes] = {}
    for parent in spec.parents.values():
        with parent.spec.names():
            others |= _beside(parent.spec, parent.file)
    found = others | {Path(path): text.encode() for one in carried for path, text in one.files.values()}
    try:
        return found | contents_of(_named_files(spec))
    except ValueError as error:
        raise SpecError([Problem(place, "files", str(error))]) from None


def _named_files(spec: SweepSpec) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    files_from(spec.model_dump(), pairs.append)
    return pairs


def _elsewhere(path: str, place: str, field: str) -> Problem:
    return Problem(place, field, f"{path} means nothing on another machine; name it relative to this file")


def _below_one_folder(contents: Mapping[Path, bytes], file: Path) -> Sources:
    files = {Path(os.path.abspath(path)): content for path, content in contents.items()}
    at = Path(os.path.abspath(file))
    top = Path(os.path.commonpath([path.parent for path in (*files, at)]))
    named = {str(path.relative_to(top)): content for path, content in files.items()}
    return Sources(named, str(at.relative_to(top)), top)
