"""A sweep file, or a sweep in a bundle with everything that was selected when the bundle was made."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.language.cells.chains import PARENTS
from orchestrator.language.load import files_from, load_sweep
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import Key, in_a_line, written
from orchestrator.planning.expand import Aim
from orchestrator.process.words import exact
from orchestrator.recording.bundle.layout import parts
from trainers.config.filesets import replaced
from trainers.config.foreign import named_from


def read_sweep(path: Path, *, trust: bool = False) -> tuple[SweepSpec, dict[str, Any]]:
    """The sweep in a file, and what else is known of it: nothing, or what a bundle says.

    Args:
        path: a sweep file, a bundle, or a sweep in a bundle, as in results.orch.zip/table1.
        trust: as for `load_sweep`.

    Raises:
        SpecError: the file is wrong; with every problem found.
        UsageError: the bundle is damaged, or has several sweeps and none is named.
    """
    named = parts(path)
    if named is None:
        return load_sweep(path, trust=trust), {}
    from orchestrator.recording.bundle.reading import open_bundle  # which most commands never need

    bundle = open_bundle(named[0])
    key, sweep = bundle.sweep(named[1])
    kept: dict[str, Any] = {"tracking_uri": str(named[0])}
    if not sweep.seeds_as_in_file:
        kept["seeds"] = list(sweep.seeds)
    if sweep.precision is not None:
        kept |= {"precision": sweep.precision, "max_seeds": sweep.max_seeds}
    if sweep.profile is not None:
        kept["profile"] = sweep.profile
    if sweep.changes:
        kept["changes"] = {Key(name, str(path)): value for name, value in sweep.changes.items()}
    return bundle.spec(key, trust=trust), kept


def over(kept: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for over what a bundle says; settings join the bundle's own, None asks for nothing."""
    said = {name: value for name, value in asked.items() if value is not None}
    if "changes" in said:
        said["changes"] = {**kept.get("changes", {}), **said["changes"]}
    return {**kept, **said}


def sweep_words(
    file: Path | str,
    *,
    profile: str | None,
    seeds: Sequence[int] | None,
    changes: Mapping[str, Any],
    aim: Aim | None = None,
) -> list[str]:
    """The command that trains what a sweep asks for under this selection; seeds None: the file's."""
    words = ["orch", "sweep", str(file)]
    words += ["--profile", profile] if profile else []
    if seeds is not None:
        words += ["--seeds", ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")]
    words += ["--precision", exact(aim.half_width), "--max-seeds", str(aim.most_seeds)] if aim else []
    for path, value in changes.items():
        words += ["--set", f"{path}={in_a_line(value)}"]
    return words


def save(spec: SweepSpec, path: Path) -> None:
    """Write a sweep as a sweep file, which asks for the same trials.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.write_text(written(tree_of(spec, path.parent)), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another place") from None


def tree_of(spec: SweepSpec, folder: Path) -> dict[str, Any]:
    """What a file in `folder` says of a sweep."""
    tree = spec.model_dump(mode="json", exclude_defaults=True)
    for told, table in zip(tree.get("tables", ()), spec.tables, strict=False):
        told |= {"metric": table.metric, "digits": table.digits}  # should their defaults ever be others
    if spec.plugins:
        tree["plugins"] = [named_from(entry, folder) for entry in spec.plugins]
    files_from(tree, functools.partial(replaced, folder=folder))
    if spec.parents:
        tree[PARENTS] = {name: tree_of(parent.spec, folder) for name, parent in spec.parents.items()}
    return tree
