"""What `orch doctor` looks at: everything a sweep will need on this machine."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Literal, NamedTuple

from orchestrator.errors import OrchError
from orchestrator.process.machine import cores, existing, has_gpu
from orchestrator.process.secrets import secrets_open_to_others
from orchestrator.process.words import counted
from orchestrator.recording import stores
from orchestrator.recording.journal.notes import of_journals
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.mlflow.glance import folders_of_files
from orchestrator.recording.stores.sqlite import ARTIFACTS, DATABASE
from orchestrator.recording.workspace import Workspace
from trainers.attempt.folders import unusable
from trainers.config import foreign
from trainers.config.families import CALLED
from trainers.config.foreign import PluginError, find
from trainers.config.plugins import behind, usable


class Check(NamedTuple):
    """One thing looked at."""

    sign: Literal["ok", "note", "bad"]
    what: str
    finding: str


def checks(space: Workspace) -> Iterator[Check]:
    """Every check, the quick ones first. Writes nothing that stays but an empty store if there is none."""
    yield _python()
    yield from _packages()
    yield Check("ok", "cores", f"{cores()}: as many one-thread trials at once")
    yield (
        Check("ok", "gpu", _gpu_name()) if has_gpu() else Check("note", "gpu", "none; trials run on the CPU")
    )
    yield _disk(space)
    for path in secrets_open_to_others():
        yield Check("bad", "secrets", f"{path} is open to other users of this machine; chmod 600 {path}")
    yield _checkpoints(space)
    yield _store(space)
    yield Check("ok", "stores", f"by address: {', '.join(stores.forms())}")
    yield from _moved(space)
    for note in of_journals(space.journals, space.store_at.name):
        yield Check("note", "journal", note)
    yield from _plugins()
    yield from _data(space)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check(
        "ok" if supported else "note", "python", version if supported else f"{version}; tested: 3.11-3.13"
    )


def _packages() -> Iterator[Check]:
    for name in ("torch", "torchvision", "ray", "mlflow", "pydantic", "typer"):
        try:
            yield Check("ok", name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check("bad", name, "not installed; pip install -e .")


def _gpu_name() -> str:
    import torch

    return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}"


def _disk(space: Workspace) -> Check:
    folder = existing(space.home)
    if not folder.is_dir():
        return Check("bad", "home", f"{folder}: not a folder; choose another with --home")
    free = shutil.disk_usage(folder).free / 1e9
    if not os.access(folder, os.W_OK):
        return Check("bad", "home", f"{space.home} cannot be written; choose another with --home")
    return Check("ok" if free > 2 else "bad", "home", f"{space.home}, {free:.0f} GB free")


def _checkpoints(space: Workspace) -> Check:
    try:
        folder = space.checkpoints
    except OrchError as error:
        return Check("bad", "checkpoints", str(error))
    if space.checkpoints_at is None:
        return Check("ok", "checkpoints", "in the home folder")
    problem = unusable(folder)
    return Check("bad" if problem else "ok", "checkpoints", problem or f"{folder} takes and gives them")


def _store(space: Workspace) -> Check:
    file = space.store_at.file
    if file is not None and not file.exists():
        return Check("ok", "store", f"{file} will be made by the first sweep ({space.store_from})")
    try:
        store = space.open_store()
        if isinstance(store, JournaledStore):
            store.open()
    except OrchError as error:
        return Check("bad", "store", f"{error} ({space.store_from})")
    return Check("ok", "store", f"{store.describe()} answers ({space.store_from})")


def _moved(space: Workspace) -> Iterator[Check]:
    """What MLflow's own pages do not find, for its store has whole paths."""
    here = space.home / ARTIFACTS
    for folder, number in folders_of_files(space.home / DATABASE).items():
        if folder.resolve() == here.resolve():
            continue
        link = shlex.join(["ln", "-s", str(here), str(folder)])
        way = f"`mkdir -p {shlex.quote(str(folder.parent))} && {link}` lets them find these"
        if folder.exists():
            way = "they show what is there"
        where = f"the files of {counted(number, 'run')} in {folder}, where the home lay before"
        yield Check("note", "home", f"MLflow's pages look for {where} (orch finds them here); {way}")


def _plugins() -> Iterator[Check]:
    for (kind, name), entries in foreign.installed().items():
        what = f"{CALLED[kind]} '{name}' of {entries[0].module}"
        try:
            found = find(kind, name)
        except PluginError as error:
            yield Check("bad", "plug-in", str(error))
            continue
        unused = f"{what} is not used: orch has one of that name"
        yield Check("note", "plug-in", unused) if found is None else Check("ok", "plug-in", what)


def _data(space: Workspace) -> Iterator[Check]:
    for config in usable("datasets"):
        name, module = str(config.model_fields["name"].default), behind(config)
        if any(field.is_required() for field in config.model_fields.values()):
            continue  # it is wherever its user says
        problem = module.missing(config(), root=space.data_root) if hasattr(module, "missing") else None
        yield Check("note" if problem else "ok", name, problem or "there")
