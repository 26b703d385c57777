"""Reads an SQLite store of MLflow's without MLflow, which takes seconds to import and to open a file.

What it says is what MLflow would say: only of a file whose tables are those of the installed MLflow, and in
one look, so that nothing is half written. Of any other file it says nothing, and MLflow is asked.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import math
import os
import re
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from orchestrator.errors import StoreLocked
from orchestrator.recording.mlflow.tags import EXPECTED, READ, record_from
from orchestrator.recording.store_errors import raised, readable
from orchestrator.recording.store_port import CannotTell
from orchestrator.recording.trial_files import ENCODER, SPECTRA, from_npz
from orchestrator.records import Curves, SweepInfo, TrialRecord

_REVISION = re.compile(r'^(down_)?revision = "(\w+)"', re.MULTILINE)
WAIT_S = 1.0  # somebody is writing; the caller says so and asks again
_LIVING = """
    runs join experiments using (experiment_id)
    where runs.lifecycle_stage = 'active' and experiments.lifecycle_stage = 'active'
"""
_RUNS = f"""
    select trial.value, run_uuid, status
    from tags as trial join (select run_uuid, status, start_time from {_LIVING}) using (run_uuid)
    where trial.key = 'orch.trial_id' order by start_time is null, start_time, run_uuid
"""
_TAGS = f"""
    select run_uuid, key, value from tags
    where (key in ({", ".join(f"'{name}'" for name in sorted(READ))}) or key glob '{EXPECTED}*')
"""
_METRICS = "select run_uuid, key, iif(is_nan, null, value) from latest_metrics where true"
_THESE = "and run_uuid in (select value from json_each(?))"
MOST = 0.25  # of the runs: to read all rows, in the file's order, is faster than to look for more
_ASKED_FOR = f"""
    select trial.value, coalesce(label.value, name, 'None')
    from tags as asked join (select run_uuid, runs.name, start_time from {_LIVING}) using (run_uuid)
    join tags as trial using (run_uuid)
    left join tags as label on label.run_uuid = asked.run_uuid and label.key = 'orch.label'
    where asked.key = ? and asked.value = 'true' and trial.key = 'orch.trial_id'
    order by start_time is null, start_time, asked.run_uuid
"""
_FILES_OF = f"""
    select trial.value, artifact_uri
    from tags as trial join (select run_uuid, runs.artifact_uri, start_time from {_LIVING}) using (run_uuid)
    where trial.key = 'orch.trial_id' and trial.value in (select value from json_each(?))
    order by start_time is null, start_time, run_uuid
"""
_PUBLISHED = f"""
    select content.value
    from tags as kind join (
        select run_uuid, start_time from {_LIVING} and experiments.name = ?
    ) using (run_uuid) join tags as profile using (run_uuid)
    left join tags as content on content.run_uuid = kind.run_uuid and content.key = 'orch.content'
    where kind.key = 'orch.kind' and kind.value = 'summary'
      and profile.key = 'orch.profile' and profile.value = ?
    order by start_time desc, kind.run_uuid limit 1
"""


class SqliteReader:
    """What is in a store's file; empty as long as there is none."""

    def __init__(self, file: Path, *, name: str) -> None:
        """Read `file`, which messages call `name`; nothing is opened yet."""
        self.file, self.name = file, name

    def records(self, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What is known of these trials.

        Raises:
            CannotTell: MLflow must be asked.
            StoreLocked: somebody is writing.
            StoreError: a run is none any more; with its name.
        """
        with self._look() as base:
            if base is None or not trial_ids:
                return {}
            runs = base.execute(_RUNS).fetchall()
            wanted, found = frozenset(trial_ids), dict[str, tuple[str, str]]()
            for trial_id, run, state in runs:
                if trial_id in wanted:
                    found.setdefault(trial_id, (run, state))  # the oldest counts
            tags: dict[str, dict[str, str]] = {run: {} for run, _ in found.values()}
            metrics: dict[str, dict[str, float]] = {run: {} for run in tags}
            these, values = ("", []) if len(tags) > MOST * len(runs) else (_THESE, [json.dumps([*tags])])
            for run, key, text in base.execute(f"{_TAGS} {these}", values):
                if run in tags:
                    tags[run][key] = text
            last, kept = None, None  # the rows of a run mostly follow each other
            for run, key, value in base.execute(f"{_METRICS} {these}", values):
                if run != last:
                    last, kept = run, metrics.get(run)
                if kept is not None:
                    kept[key] = math.nan if value is None else value
        records = {}
        for trial_id, (run, state) in found.items():
            with readable(f"run {run} of trial {trial_id}"):
                records[trial_id] = record_from(
                    trial_id, run=run, state=state, tags=tags[run], metrics=metrics[run]
                )
        return {trial_id: records[trial_id] for trial_id in trial_ids if trial_id in records}

    def asked_for(self, sweep: str) -> dict[str, str]:
        """Labels of all trials whose runs say that the sweep has asked for them; raises as `records`."""
        with self._look() as base:
            found = [] if base is None else base.execute(_ASKED_FOR, [f"orch.in.{sweep}"]).fetchall()
        return dict(found)

    def published(self, sweep: SweepInfo) -> str | None:
        """The content that the sweep's summary run shows, if there is one; raises as `records`."""
        with self._look() as base:
            values = [sweep.name, sweep.profile or "none"]
            found = None if base is None else base.execute(_PUBLISHED, values).fetchone()
        return found[0] if found else None

    def curves(self, trial_ids: Collection[str]) -> dict[str, Curves]:
        """Curves and spectra of these trials, whose files lie beside this one; raises as `records`."""
        found = {}
        for trial_id, folder in self._artifacts(trial_ids).items():
            if (content := _content(folder, SPECTRA)) is not None:
                with readable(f"{SPECTRA} of run {folder and folder.parent.name}"):
                    found[trial_id] = from_npz(content)
        return found

    def encoder(self, trial_id: str) -> bytes | None:
        """The file with a trial's encoder, if it was kept beside this one; raises as `records`."""
        found = self._artifacts([trial_id])
        return _content(found[trial_id], ENCODER) if found else None

    def encoder_files(self, trial_ids: Collection[str]) -> dict[str, Path]:
        """Where encoders of these trials lie if they were kept beside this file; raises as `records`."""
        return {one: at / ENCODER for one, at in self._artifacts(trial_ids).items() if at is not None}

    def _artifacts(self, trial_ids: Collection[str]) -> dict[str, Path | None]:
        """The folders of these trials' files; None for one that is not beside this file."""
        with self._look() as base:
            wanted = [json.dumps([*trial_ids])]
            found = [] if base is None else base.execute(_FILES_OF, wanted).fetchall()
        folders: dict[str, Path | None] = {}
        for trial_id, text in found:
            address = urlsplit(text)
            folder = Path(url2pathname(address.path))
            # artifacts/<experiment>/<run>/artifacts: elsewhere it is of a home that was moved or copied.
            beside = address.scheme == "file" and folder.parents[3:4] == (self.file.parent,)
            folders.setdefault(trial_id, folder if beside else None)  # the oldest counts
        return folders

    @contextlib.contextmanager
    def _look(self) -> Iterator[sqlite3.Connection | None]:
        """The file as it is at one moment; None if there is none."""
        if os.environ.get("MLFLOW_ENABLE_WORKSPACES"):
            raise CannotTell
        try:
            if not self.file.exists():
                yield None
                return
            address = f"{self.file.as_uri()}?mode={'rw' if may_write(self.file) else 'ro'}"
            opened = sqlite3.connect(address, uri=True, timeout=WAIT_S, isolation_level=None)
            with contextlib.closing(opened) as base:
                base.execute("begin")
                if base.execute("select version_num from alembic_version").fetchall() != [_installed()]:
                    raise CannotTell
                yield base
        except (OSError, sqlite3.Error) as error:
            if isinstance(told := raised(error, f"MLflow at {self.name}", None), StoreLocked):
                raise told from None
            raise CannotTell from None  # MLflow says what is wrong


def _content(folder: Path | None, name: str) -> bytes | None:
    """A file of a run, if it is there."""
    if folder is None:
        raise CannotTell  # of a home that was moved MLflow's own files say where they lay
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        raise CannotTell from None


def may_write(file: Path) -> bool:
    """Whether a store's file is opened to be written: then what a killed driver has begun is taken back."""
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


@functools.cache
def _installed() -> tuple[str, ...]:
    """The version of the tables that the installed MLflow makes: the one on which no other builds."""
    own, built_on = set[str](), set[str]()
    spec = importlib.util.find_spec("mlflow")  # which does not import it
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder, "store", "db_migrations", "versions").glob("*.py"):
            for down, name in _REVISION.findall(path.read_text(encoding="utf-8")):
                (built_on if down else own).add(name)
    return tuple(own - built_on)
