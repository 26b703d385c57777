"""One cell of a sweep: which trials it means, and training one of them in this process."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from orchestrator.answer.comparison.expectations import written_down
from orchestrator.commands.request import Request
from orchestrator.errors import UsageError
from orchestrator.planning.data import missing_data
from orchestrator.planning.plan import kept, unfit
from orchestrator.planning.trials import TrialSpec, keeps
from orchestrator.process.machine import has_gpu
from orchestrator.process.provenance import provenance
from orchestrator.process.secrets import kept_to_itself, without_secret
from orchestrator.process.signals import breaking_off
from orchestrator.process.streams import ignoring_closed_pipes
from orchestrator.recording.bundle import writing
from orchestrator.recording.bundle.layout import parts
from orchestrator.recording.bundle.reading import open_bundle
from orchestrator.recording.bundle.selecting import sweep_words
from orchestrator.recording.bundle.store import BundleStore
from orchestrator.recording.logs import epoch_line
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.stores.base import ENDING
from orchestrator.recording.trial_files import EncoderLostError, whole_encoder
from orchestrator.recording.workspace import Workspace
from orchestrator.records import SweepInfo
from trainers.attempt.checkpoint import GIVEN
from trainers.attempt.isolation import run_trial
from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import Runtime

KEEPING = ("--keep", "encoder", "--out", f"parent{ENDING}")


class Kept:
    """A trial's result on its way into a bundle: for a machine that has neither Ray nor a store."""

    def __init__(
        self, request: Request, trial: TrialSpec, path: Path, *, keep: tuple[Literal["encoder"], ...]
    ) -> None:
        """Begin to keep what `trial` of the sweep tells.

        Raises:
            UsageError: nothing can be written to `path`, or it has nothing to keep.
        """
        writing.check(path)
        self._trial, self._path, self._store = trial, path, MemoryStore()
        has = "encoder" in keeps(trial.cell)
        self.keep = kept(request.expansion, keep) if has else request.spec.keep
        if keep and not has:
            raise UsageError(f"--keep encoder: trials of {trial.cell.trainer} have none; leave it out")
        self.folder = Path(tempfile.mkdtemp(prefix="orch-trial-")) if self.keep else None
        """Where the trial leaves what is kept."""
        self._exported = request.exported(store=self._store, encoders=bool(self.keep))
        spec = request.spec
        self._sweep = SweepInfo(
            name=spec.name,
            profile=request.expansion.profile,
            question=spec.question,
            provenance=provenance(),
            expected=written_down(request.expansion),
        )
        self._store.begin(trial.facts, self._sweep, worker=platform.node())

    def report(self, message: EpochReport) -> None:
        """The trial finished an epoch."""
        self._store.report(self._trial.id, message)

    def finish(self, outcome: Outcome, *, say: Callable[[str], None]) -> None:
        """Write the bundle."""
        self._store.finish(self._trial.id, outcome, self._sweep)
        digest = self._store.records([self._trial.id])[self._trial.id].encoder
        if self.folder is not None and digest is not None:
            self._store.keep_encoder(self._trial.id, self.folder, digest)
        path = self._path
        if os.path.lexists(path):  # by now; what was trained is not lost for that
            path = path.with_name(f"{self._trial.id}-{path.name}")
        writing.write(path, [self._exported], self._sweep.provenance, say=lambda line: None)
        say(f"{path}: written; `orch import {shlex.quote(str(path))}` puts it into a store")

    def close(self) -> None:
        """Leave nothing beside the bundle."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def into_bundle(
    request: Request, trial: TrialSpec, path: Path | None, *, keep: tuple[Literal["encoder"], ...]
) -> Kept | None:
    """What puts a trial's result into a bundle at `path`; None where none is wanted.

    Raises:
        UsageError: nothing can be written there, or something is to be kept and there is no bundle.
    """
    if path is None and keep:
        raise UsageError("--keep encoder keeps it in a bundle; add --out NAME.orch.zip")
    return Kept(request, trial, path, keep=keep) if path is not None else None


def given_encoder(request: Request, trial: TrialSpec, bundle: Path | None) -> bytes | None:
    """The encoder that a trial starts from, as a bundle has it; None: it starts from none.

    Raises:
        UsageError: the bundle has no such encoder; none is named and one is needed; or one is, and is not.
    """
    start, parent = trial.cell.start, trial.parent
    if start is None or parent is None:
        if bundle is not None:
            raise UsageError(f"--from {bundle}: {trial.label} starts from no other trial; leave it out")
        return None
    whose = f"the encoder of {parent.label}" + (f" of {start.file}" if start.file else "")
    own = start.file is None
    profile = request.expansion.profile if own else start.profile
    typed = sweep_words(
        start.file or request.file, profile=profile, seeds=None, changes=request.changes if own else {}
    )
    words = [without_secret(word) for word in typed[2:]]
    alone = shlex.join(["orch", "trial", *words, parent.cell.label, "--seed", str(parent.seed), *KEEPING])
    makes = (
        f"`{alone}` makes one, or `{shlex.join(['orch', 'export', *words, '--with', 'encoders'])}` of a store"
    )
    if bundle is None:
        raise UsageError(f"{trial.label} starts from {whose}; name a bundle that has it with --from: {makes}")
    if (named := parts(bundle)) is None or named[1] is not None:
        raise UsageError(f"--from {bundle}: expected a bundle, whose name ends in {ENDING}; {makes}")
    store = BundleStore(open_bundle(bundle))
    records = store.records([parent.id])
    if (why := unfit([trial], records, {}).get(trial.id)) is not None:
        told = why.why if why.known else f"is not in it (trial {parent.id})"
        raise UsageError(f"--from {bundle}: {trial.label} starts from {whose}, which {told}; {makes}")
    try:
        return whole_encoder(records[parent.id], store)
    except EncoderLostError as lost:
        raise UsageError(f"--from {bundle}: {whose} {lost}; {makes}") from None


def run_one(
    trial: TrialSpec,
    space: Workspace,
    *,
    device: str,
    threads: int,
    download: bool,
    as_json: bool,
    also: Kept | None = None,
    given: bytes | None = None,
) -> Outcome:
    """Train one trial in this process, from the encoder that it is `given`.

    Prints a line per epoch, and tells `also`.
    """
    problems = list(missing_data([trial], space.data_root))
    if problems and not download:
        raise UsageError("\n".join(problems))
    runtime = Runtime(
        device=("cuda" if has_gpu() else "cpu") if device == "auto" else _checked(device),
        threads=threads,
        data_root=space.data_root,
        download=download,
        keep=also.keep if also else (),
    )

    def report(message: EpochReport) -> None:
        if also is not None:
            also.report(message)
        with ignoring_closed_pipes():  # else it would be the trial that failed
            plain = json.dumps(message.model_dump(exclude={"arrays"})) if as_json else epoch_line(message)
            print(plain, flush=True)

    with contextlib.ExitStack() as after:
        after.enter_context(breaking_off("this trial was being trained, and nothing of it is kept"))
        folder = also.folder if also else None
        if given is not None:
            folder = folder or Path(after.enter_context(tempfile.TemporaryDirectory(prefix="orch-trial-")))
            (folder / GIVEN).write_bytes(given)
        after.enter_context(kept_to_itself())  # a script that the trial runs has this process's environment
        return run_trial(trial.config, runtime=runtime, folder=folder, report=report)


def outcome_text(outcome: Outcome) -> str:
    """An outcome for a person: status, reason, and the final numbers in columns."""
    lines = [f"{outcome.status}" + (f": {outcome.reason}" if outcome.reason else "")]
    width = max((len(name) for name in outcome.metrics), default=0)
    lines += [f"  {name:{width}}  {value:.6g}" for name, value in sorted(outcome.metrics.items())]
    if verdict := outcome.details.get("collapse"):
        evidence = f" ({verdict['evidence']})" if verdict.get("evidence") else ""
        lines.append(f"  collapse: {verdict.get('verdict')}{evidence}")
    return "\n".join(lines)


def _checked(device: str) -> str:
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UsageError(f"--device {device}: no such device; try auto, cpu or cuda") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {device}: torch finds no GPU here; try auto or cpu")
    return device
