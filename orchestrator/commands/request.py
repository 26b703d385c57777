"""A sweep file together with everything that a command's flags say about it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from orchestrator.answer import publish
from orchestrator.commands.selection.typed import settings_in
from orchestrator.errors import SpecError, UsageError, reworded
from orchestrator.execution.screen.suggested import typed
from orchestrator.language.cells.seeds import seed_list, seeds_in
from orchestrator.language.figure_spec import FigureSpec
from orchestrator.language.hints import cut
from orchestrator.language.load import cross_checked
from orchestrator.language.table_spec import MARKS, asked_table
from orchestrator.planning.evaluations import Evaluations, evaluated, evaluations
from orchestrator.planning.expand import layers_of, size
from orchestrator.planning.find import find_evaluations, find_trials
from orchestrator.planning.losses import discarded_by_changes, overruled
from orchestrator.planning.plan import make_plan
from orchestrator.process.words import listed, one_of
from orchestrator.recording.bundle.selecting import over, read_sweep
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.trial_files import kept_encoder
from orchestrator.sweep import Sweep

if TYPE_CHECKING:
    from orchestrator.planning.expand import Expansion
    from orchestrator.planning.plan import Plan
    from orchestrator.planning.trials import TrialSpec
    from orchestrator.recording.bundle.writing import Exported
    from orchestrator.recording.store_port import Store
    from orchestrator.records import TrialRecord


class Request(Sweep):
    """What a command asks for: a sweep, as its flags say."""

    def __init__(
        self,
        file: Path,
        *,
        profile: str = "auto",
        seeds: str | None = None,
        precision: float | None = None,
        max_seeds: int | None = None,
        changes: list[str] | None = None,
        home: Path | None = None,
        tracking_uri: str | None = None,
        data: Path | None = None,
        checkpoints: str | None = None,
        trust: bool = False,
        prefer_profile_with_results: bool = False,
    ) -> None:
        """Read and expand `file`.

        Raises:
            SpecError: the file is wrong.
            UsageError: a flag is.
        """
        self.file = file
        self._opened: Store | None = None
        self._known: dict[frozenset[str], dict[str, TrialRecord]] = {}
        """What the store knew of these trials, whichever were asked for together."""
        self._found: dict[frozenset[str], dict[str, TrialRecord]] = {}
        """The same of a whole sweep's trials, with what evaluations of their encoders have found."""
        named = None if profile == "auto" else profile
        said: dict[str, object] = {"profile": named, "seeds": seeds, "precision": precision}
        said |= {"max_seeds": max_seeds, "set": changes, "trust": trust, "home": home}
        said |= {"tracking_uri": tracking_uri, "data": data, "checkpoints": checkpoints}
        self.typed = typed(file, said)
        self.trust = trust
        with reworded(self.typed.filled):
            spec, kept = read_sweep(file, trust=trust)
            asked = {
                "profile": named,
                "seeds": None if seeds is None else seed_list(seeds_in(seeds), f"--seeds {cut(seeds)}"),
                "changes": settings_in(changes or []),
                "precision": precision,
                "max_seeds": max_seeds,
                "tracking_uri": tracking_uri,
            }
            super().__init__(
                spec,
                **over(kept, asked),
                home=home,
                data=data,
                checkpoints=checkpoints,
                prefer_profile_with_results=prefer_profile_with_results,
                trust=trust,
                place=f"{file}:1",
            )
        self.typed = self.typed.over(self.space.store_at)

    def store(self) -> Store:
        """The store, to read from; opened once."""
        self._opened = self._opened or super().store()
        return self._opened

    def look_again(self) -> Plan:
        """The plan by what the store has now, whatever was read before."""
        self._known.clear()
        self._found.clear()
        if not isinstance(self._opened, JournaledStore):  # perhaps somebody has made the file meanwhile
            self._opened = None
        self._aim()
        return self.plan()

    def _records(self, store: Store, asked: Expansion) -> dict[str, TrialRecord]:
        ids, known = [trial.id for trial in asked.every_trial], functools.partial(self._ask, store)
        if (key := frozenset(ids)) not in self._found:
            self._found[key] = evaluated(asked, known(ids), known)
        return self._found[key]

    def _ask(self, store: Store, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        """What the store knows of these trials, asked once."""
        if (key := frozenset(trial_ids)) not in self._known:
            self._known[key] = store.records(trial_ids)
        return self._known[key]

    def others(self, wanted: str | None) -> list[TrialRecord]:
        """What others have measured of its cells, where `--with imported` asks; UsageError: none is there."""
        if wanted not in (None, "imported"):
            raise UsageError(f"--with {cut(wanted)}: expected imported")
        if wanted is None:
            return []
        from orchestrator.recording.bundle.imported import imported_into

        if not (found := imported_into(self.store(), self.spec.name)):
            into = "SPEC" if self.typed.bundle else str(self.file)
            raise UsageError(
                f"--with imported: {self.store().describe()} has no runs of others for {self.spec.name}; "
                f"`{self.typed.elsewhere('import', 'csv', 'FILE', '--into', into)}` brings some"
            )
        return found

    @property
    def headline(self) -> str:
        """How many cells, seeds and trials, which profile, and what `--set` does not reach."""
        profile = f"profile {self.profile} ({self.why})" if self.profile else "no profile"
        lines = [f"{self.spec.name}: {size(self.expansion)}, {profile}"]
        for path, cells in overruled(self.expansion):
            number = len(self.expansion.cells)
            lines.append(f"--set {path} has no effect in {cells} of {number} cells: a level decides there")
        layers = layers_of(self.spec, self.expansion.profile, self._changes)
        return "\n".join([*lines, *discarded_by_changes(self.expansion, layers)])

    @property
    def changes(self) -> dict[str, Any]:
        """Settings over the base, by dotted path."""
        return self._changes

    def named(self, text: str) -> tuple[list[TrialSpec], Evaluations | None]:
        """The trials of the one cell that `text` names; or those of an evaluation, and what it is one of.

        Raises:
            UsageError: it names no cell and no evaluation, or several.
        """
        try:
            return find_trials(self.expansion, text), None
        except UsageError as error:
            if not self.spec.evaluations:
                raise
            found = evaluations(self.expansion, self.records())
            if chosen := find_evaluations(found, text):
                return chosen, found
            labels = dict.fromkeys(cell.label for cell in found.expansion.cells)
            raise UsageError(f"{error}; evaluations: {listed(labels, 4, '; ')}") from None

    def evaluation_plan(self, records: Mapping[str, TrialRecord]) -> tuple[Evaluations, Plan]:
        """The evaluations that it asks for, and how those stand whose encoders are there."""
        found = evaluations(self.expansion, records)
        known = self._ask(self.store(), [trial.id for trial in found.expansion.trials])
        return found, make_plan(found.expansion, known)

    def encoder_file(self, cell: str) -> tuple[TrialSpec, bytes]:
        """A cell's trial of the one seed, and its encoder's file; UsageError: there is none, and why."""
        return kept_encoder(self.expansion, self.store(), cell, self.expansion.seeds[0], self._keeping)

    def _keeping(self, anew: bool) -> str:
        """The command that keeps encoders of the same trials; of a bundle, the ways to them."""
        words = ["--keep", "encoder", *["--retrain-unkept"] * anew]
        if (only_read := self.space.store_at.only_read) is None:
            return f"`{self.command('sweep', *words)}`"
        kept = "`orch export --with encoders` takes along those that were kept"
        return f"{kept}. {only_read}; the command that it prints, with `{' '.join(words)}`,"

    def command(self, name: str, *more: str) -> str:
        """The command of that name about the same selection, with these words."""
        return self.typed.command(name, *more, seeds=self.expansion.every_seed)

    def filled(self, line: str) -> str:
        """`line` with the commands in it as they are typed about the same selection."""
        return self.typed.filled(line, seeds=self.expansion.every_seed)

    def saying(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """`say`, which is told each line so."""
        return lambda line: say(self.filled(line))

    @property
    def folder_name(self) -> str:
        """A folder for its figures: no other profile's, and no other settings'."""
        name = self.spec.name + (f"-{self.profile}" if self.profile else "")
        if not self.expansion.changed:
            return name
        cells = "".join(cell.id for cell in self.expansion.cells)
        return f"{name[:235]}-changed-{hashlib.sha256(cells.encode()).hexdigest()[:6]}"

    def ask_for_table(
        self, name: str | None, *, metric: str | None, rows: Sequence[str], columns: Sequence[str]
    ) -> None:
        """Have one table instead of the file's: as that of `name`, with another metric or other axes.

        Raises:
            SpecError: there is no such axis or metric.
            UsageError: there is no such table.
        """
        table = asked_table(self.spec.tables, name, metric=metric, rows=rows, columns=columns)
        try:
            self.spec = cross_checked(self.spec.model_copy(update={"tables": (table,)}), str(self.file))
        except SpecError as error:
            told = f"{error.problems[0].message}; name each axis under --rows or --columns"
            raise UsageError(f"--metric, --rows, --columns: {told}") from None
        self.expansion = self.expansion._replace(spec=self.spec)

    def ask_for_marks(self, marks: str | None) -> None:
        """Have marks in every table as signs or in words; None: as the file says. UsageError: as neither."""
        if marks not in (None, *MARKS):
            raise UsageError(f"--marks {cut(str(marks))}: expected {one_of(MARKS)}")
        if marks is not None:
            self._have(tables=tuple(one.model_copy(update={"marks": marks}) for one in self.spec.tables))

    def ask_for_figure(self, kind: str, columns: Sequence[str], axes: Sequence[str] = ()) -> None:
        """Have one figure instead of the file's: that of this name or kind, with these columns and axes.

        Raises:
            UsageError: there is no such kind, or it cannot be drawn of these cells.
        """
        how = {name: tuple(given) for name, given in (("columns", columns), ("axes", axes)) if given}
        figure = publish.figure_spec(self.expansion, kind, how)
        publish.check_figure(self.expansion, figure)
        self._have(figures=(figure,))

    def size_figures(self, width: float) -> None:
        """Have its figures so wide, in inches.

        Raises:
            UsageError: no page is.
        """
        try:
            with self.spec.names():
                wide = [FigureSpec.model_validate(dict(one) | {"width": width}) for one in self.spec.figures]
        except ValidationError as error:
            raise UsageError(f"--width {width:g}: {error.errors()[0]['msg']}, in inches") from None
        self._have(figures=tuple(wide))

    def _have(self, **parts: Any) -> None:
        self.spec = self.spec.model_copy(update=parts)
        self.expansion = self.expansion._replace(spec=self.spec)

    def exported(self, *, checkpoints: bool = False, store: Store | None = None, **how: bool) -> Exported:
        """What of it goes into a bundle.

        Args:
            checkpoints: whether those of trials that are not done go along.
            store: which has its results; None: its own.
            how: `encoders` and `numbers_only`, as in `Exported`.
        """
        from orchestrator.recording.bundle.sources import whole_sources
        from orchestrator.recording.bundle.writing import Exported

        files, name, _ = whole_sources(self.spec, self.file, trust=self.trust)
        folder = self.space.checkpoints if checkpoints else None
        kept = store or self.store()
        return Exported(self.folder_name, self.expansion, kept, files, name, self._changes, folder, **how)

    def needs_published_profile(self) -> None:
        """Check that published or expected numbers can be compared with; UsageError: they cannot, and why."""
        tables = [part for table in self.spec.tables for part in table.parts]
        wanted = {table.published.profile for table in tables if table.published}
        if not wanted and any(table.expected or table.expectations for table in tables):
            return
        if not wanted:
            raise UsageError(f"--check: sweep '{self.spec.name}' has no published numbers to check against")
        if self.expansion.changed:
            raise UsageError("--check compares what the file says; leave out --set")
        if self.profile not in wanted and None not in wanted:
            needed = " or ".join(sorted(str(name) for name in wanted))
            raise UsageError(
                f"--check compares under profile {needed}, this is '{self.profile}'; add --profile {needed}"
            )
