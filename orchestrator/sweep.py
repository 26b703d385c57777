"""A sweep as Python has it, and what the commands of `orch` are made of: load or build, run, read its answer.

from orchestrator import Sweep
sweep = Sweep.load("sweeps/smoke.yaml")
sweep.run()
sweep.table("smoke")  # a table in a notebook
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from orchestrator.answer import frames, publish
from orchestrator.answer.comparison.precision import aimed
from orchestrator.errors import UsageError
from orchestrator.events import Event
from orchestrator.execution.run import SweepResult, evaluation_plan, plan_sweep
from orchestrator.execution.screen.suggested import Typed, loaded
from orchestrator.language.cells.seeds import seed_list
from orchestrator.language.load import cross_checked, validated
from orchestrator.language.settings import as_in_a_file
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.language.yaml_text import Key
from orchestrator.planning.data import choose_profile
from orchestrator.planning.evaluations import evaluated
from orchestrator.planning.expand import Expansion, expand, size
from orchestrator.planning.find import find_counted
from orchestrator.planning.plan import Plan
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.bundle.selecting import over, read_sweep, save
from orchestrator.recording.trial_files import kept_encoder
from orchestrator.recording.workspace import workspace
from orchestrator.records import TrialRecord

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from matplotlib.figure import Figure
    from torch import nn

    from orchestrator.answer.tables import Table
    from orchestrator.recording.store_port import Store


class Sweep:
    """A sweep under one profile and its seeds, with the store that has its results."""

    _typed: Typed | None = None

    def __init__(
        self,
        spec: SweepSpec | Mapping[str, Any],
        *,
        profile: str | None = "auto",
        seeds: int | Iterable[int] | None = None,
        changes: Mapping[str, Any] | None = None,
        home: str | Path | None = None,
        tracking_uri: str | None = None,
        data: str | Path | None = None,
        checkpoints: str | Path | None = None,
        prefer_profile_with_results: bool = False,
        precision: float | None = None,
        max_seeds: int | None = None,
        trust: bool = False,
        place: str | None = None,
    ) -> None:
        """A sweep built in Python.

        Args:
            spec: what a sweep file says: its pydantic model, or what that is made from.
            profile: one of its profiles; "auto": paper if a GPU and the data are here, else laptop.
            seeds: their number, or the seeds themselves, instead of the spec's.
            changes: settings over the base, by dotted path, as `--set` has them.
            home: folder for results and checkpoints; None: ORCH_HOME, or ./runs.
            tracking_uri: address of a store; None: MLFLOW_TRACKING_URI, or SQLite in the home folder.
            data: folder of data sets; None: ORCH_DATA, or ./data.
            checkpoints: folder, or s3://bucket/prefix; None: ORCH_CHECKPOINTS, or in the home folder.
            prefer_profile_with_results: take, under "auto", the profile that has results: another machine,
                with a GPU and the data, may have trained it.
            precision: add seeds until half of each 95 % interval is at most this, in the first table's unit.
            max_seeds: the most seeds of a cell then; None: 10.
            trust: whether it may ask for more than a million trials, and a file extend others from anywhere.
            place: where the spec is from, for messages.

        Raises:
            SpecError: the spec is wrong, or its parts do not fit each other.
            UsageError: a profile, seed, setting or folder is wrong.
        """
        if isinstance(spec, Mapping):
            spec = validated(as_in_a_file(spec), place or "sweep")
        if not isinstance(spec, SweepSpec):
            raise UsageError(f"Sweep({spec!r}): expected a SweepSpec or a dict; Sweep.load reads a file")
        profile, place = profile or "auto", place or f"sweep '{spec.name}'"
        self._seeds = None if seeds is None else seed_list(seeds, f"seeds={seeds!r}")
        self.spec = cross_checked(spec, place, seeds=len(self._seeds or ()) or None, trust=trust)
        self.space = workspace(home, tracking_uri, data, checkpoints=checkpoints)
        self.profile, self.why = choose_profile(self.spec, profile, data_root=self.space.data_root)
        self._open = profile == "auto" and bool(spec.profiles)
        keyed = ((p if isinstance(p, Key) else Key(str(p), place), v) for p, v in (changes or {}).items())
        self._changes: dict[str, Any] = {path: as_in_a_file(value) for path, value in keyed}
        self._place = place
        self.expansion: Expansion = self._expanded(self.profile)
        if prefer_profile_with_results and self._open and len(spec.profiles) > 1:
            self._take_the_profile_with_results()
        self._begins_with, self._precision = self.expansion, (precision, max_seeds)
        self._aim()

    @classmethod
    def load(cls, path: str | Path, **how: Any) -> Self:
        """The sweep in a file, or in a bundle with its results; `how` as in `Sweep(...)`.

        Raises:
            SpecError: the file is wrong; with every problem found.
            UsageError: a profile, seed, setting or folder is wrong.
        """
        spec, kept = read_sweep(Path(path), trust=how.get("trust", False))
        made = cls(spec, place=f"{path}:1", **over(kept, how))
        made._typed = loaded(path, how, seeds=made._seeds, changes=made._changes).over(made.space.store_at)
        return made

    def save(self, path: str | Path) -> None:
        """Write the spec as a sweep file, asking for the same trials; UsageError: it cannot be written."""
        save(self.spec, Path(path))

    @property
    def trials(self) -> tuple[TrialSpec, ...]:
        """Every trial that is asked for."""
        return self.expansion.trials

    @property
    def every_profile(self) -> list[Expansion]:
        """What is asked for under each profile that was left open."""
        others = (name for name in self.spec.profiles if self._open and name != self.expansion.profile)
        return [self.expansion, *map(self._expanded, others)]

    def plan(self) -> Plan:
        """What is done and what is left to train, changing nothing; StoreError: the store does not answer."""
        return plan_sweep(self.expansion, self.store(), self.records())

    def run(
        self,
        executor: str = "ray",
        *,
        address: str | None = None,
        keep_going: bool = False,
        download: bool = False,
        pack: bool = False,
        ship_code: bool = False,
        keep_checkpoints: bool = False,
        retrain_changed: bool = False,
        accept_data: bool = False,
        keep: Sequence[Literal["encoder"]] = (),
        retrain_unkept: bool = False,
        say: Callable[[str], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        notify: str | None = None,
        mirror: Sequence[str] = (),
    ) -> SweepResult:
        """Train what is missing, and keep tables and figures in the store; run again, it trains nothing.

        With `precision` the sweep then asks for the seeds that were added, as its plan and tables do.

        A first Ctrl-C lets the running epochs end, and the result says `interrupted`; a second ends at once.
        Checkpoints are kept. Only the main thread hears signals.

        Args:
            executor: "ray", in a process of its own, or "serial", in this one.
            address: of a running Ray cluster; None: this machine.
            keep_going: whether to go on when the first cells fail in their code.
            download: whether to download missing data sets.
            pack: whether rehearsals find out what a trial needs.
            ship_code: whether a cluster's workers run this code, sent to them.
            keep_checkpoints: whether to keep the checkpoints of finished trials.
            retrain_changed: whether to train again what other code has trained; old runs stay.
            accept_data: whether changed files of a data set are the same images.
            keep: ["encoder"]: what of trained networks is kept beside results.
            retrain_unkept: whether to train again what was trained without keeping that; old runs stay.
            say: is told what a person should know, also when a trial ends, a line each; None: standard error.
            on_event: is told what happens to trials: Started, Progressed, Deferred, Finished.
            notify: webhook that hears of the end, or the first failure; kept nowhere; None: ORCH_NOTIFY.
            mirror: where trials are also shown: "tensorboard", "wandb".

        Raises:
            KeyboardInterrupt: on a second Ctrl-C.
            UsageError: data, a folder or an executor is not there.
            StoreError: a result could not be kept; checkpoints are.
            ExecutionError: trials cannot be scheduled, or what runs them has died.
        """
        from orchestrator.execution.from_python import run

        answer = run(
            self.expansion, self.space, self._typed, say=say, on_event=on_event, notify=notify,
            executor=executor, address=address, keep_going=keep_going, download=download, pack=pack,
            ship_code=ship_code, keep_checkpoints=keep_checkpoints, retrain_changed=retrain_changed,
            accept_data=accept_data, keep=tuple(keep), retrain_unkept=retrain_unkept, mirror=tuple(mirror),
        )  # fmt: skip
        self.expansion = answer.expansion
        return answer.result

    def records(self) -> dict[str, TrialRecord]:
        """What the store knows of the trials, by id, others being absent; StoreError: it does not answer."""
        return self._records(self.store(), self.expansion)

    def frame(self) -> pandas.DataFrame:
        """One row per trial, by id: cell, seed, axes (labels, or numbers), status, failure, final metrics."""
        return frames.of_trials(self.trials, self.records())

    def curves(self) -> pandas.DataFrame:
        """Metrics over training, a row per number: trial, cell, seed, epoch, metric, value."""
        return frames.of_curves(self.trials, self.store().curves([trial.id for trial in self.trials]))

    def spectra(self, cell: str) -> dict[int, dict[str, np.ndarray]]:
        """Spectra over training of one cell, by seed: "epochs" [R], and arrays [R, d] by name, such as "F".

        `cell` is its label, levels as "axis=level,...", or the start of an id; UsageError: there is none.
        """
        asked = find_counted(self.expansion, cell)
        return frames.spectra_by_seed(asked, self.store().curves([trial.id for trial in asked]))

    def table(self, name: str | None = None) -> Table:
        """A table of the sweep, made from the store; its only one where none is named.

        Raises:
            UsageError: it has none of that name, or the table cannot be made.
        """
        return publish.table(self.expansion, self.records(), name)

    def compare(
        self, against: str, *, metric: str | None = None, margin: float | None = None
    ) -> pandas.DataFrame:
        """Each cell against the cell `against`, a row each; docs/statistics.md explains columns and margin.

        `.attrs` has a "decision" in words and "notes". Without `metric`, that of the first table.

        Raises:
            UsageError: there is no such cell or metric, or the margin is not above zero.
        """
        from orchestrator.answer.comparison import cells

        return cells.compare(self.expansion, self.records(), against, metric=metric, margin=margin).frame()

    def effects(self, *, metric: str | None = None) -> pandas.DataFrame:
        """What each axis does, alone and with another, a row each; in leave_one_out, what a part is worth.

        Raises:
            UsageError: the design has no such effects, or there is no such metric.
        """
        from orchestrator.answer.comparison import effects

        return effects.effects(self.expansion, self.records(), metric=metric).frame()

    def figure(self, kind: str, **how: Any) -> Figure:
        """The sweep's figure of that name, or one of that kind with columns, axes, over, where, width.

        Raises:
            UsageError: there is no such figure, or nothing to draw.
        """
        chosen = publish.figure_spec(self.expansion, kind, how)
        publish.check_figure(self.expansion, chosen)
        store, ids = self.store(), [trial.id for trial in self.trials]
        records, curves = self._records(store, self.expansion), store.curves(ids)
        publish.check_results(self.expansion, [chosen], records, curves)
        return publish.figure(self.expansion, chosen, records, curves)

    def encoder(self, cell: str, seed: int = 0) -> nn.Module:
        """A trial's encoder, in eval mode: normalised images [N, C, H, W] to [N, D]; UsageError: not kept."""
        from trainers.networks.kept import module_of

        with self.spec.names():
            return module_of(kept_encoder(self.expansion, self.store(), cell, seed)[1])

    def store(self) -> Store:
        """The store, to read from; StoreError: it does not answer."""
        return self.space.open_store()

    def __repr__(self) -> str:
        profile = f", profile {self.expansion.setting}" if self.expansion.setting else ""
        return f"<Sweep {self.spec.name}: {size(self.expansion)}{profile}>"

    def _expanded(self, profile: str | None) -> Expansion:
        return expand(
            self.spec, profile=profile, changes=self._changes, seeds=self._seeds, default_place=self._place
        )

    def _aim(self) -> None:
        """Ask for the seeds that narrow intervals need, by the results that there are now."""
        self.expansion = aimed(
            self._begins_with, *self._precision, lambda one: self._records(self.store(), one),
            lambda one, known: not evaluation_plan(one, self.store(), known)[0].todo)  # fmt: skip

    def _records(self, store: Store, asked: Expansion) -> dict[str, TrialRecord]:
        return evaluated(asked, store.records([trial.id for trial in asked.every_trial]), store.records)

    def _take_the_profile_with_results(self) -> None:
        store = self.store()
        found = next((one for one in self.every_profile if self._records(store, one)), self.expansion)
        if found is not self.expansion:
            self.expansion, self.profile, self.why = found, found.profile, "it has results"
