"""A sweep file together with everything that a command's flags say about it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.commands.screen.grid import size_of
from orchestrator.errors import UsageError
from orchestrator.language.yaml_text import Key, parse
from orchestrator.planning.expand import Expansion, expand, overruled
from orchestrator.process.provenance import typed_command
from orchestrator.recording.workspace import choose_profile, load_sweep, workspace


class Request:
    """What a command asks for: sweep, profile, workspace and all trials."""

    def __init__(
        self,
        file: Path,
        *,
        profile: str = "auto",
        seeds: str | None = None,
        changes: list[str] | None = None,
        home: Path | None = None,
        uri: str | None = None,
        data: Path | None = None,
        checkpoints: str | None = None,
        reads: bool = False,
    ) -> None:
        """Read and expand `file`.

        A command that only `reads` results takes, where the profile is not named, the one that has some:
        another machine, with a GPU and the data, may have trained it.

        Raises:
            SpecError: the file is wrong.
            UsageError: a flag is.
        """
        self.space = workspace(home, uri, data, checkpoints=checkpoints)
        self.spec = load_sweep(file)
        self.profile, self.why = choose_profile(self.spec, profile, data_root=self.space.data_root)
        make = functools.partial(
            expand,
            self.spec,
            changes=_settings(changes or []),
            seeds=_seed_list(seeds),
            default_place=f"{file}:1",
        )
        self.expansion = make(profile=self.profile)
        self._make, self._any = make, profile == "auto"
        if reads and profile == "auto" and len(self.spec.profiles) > 1:
            self._take_the_profile_with_results(make)

    def _take_the_profile_with_results(self, make: Callable[..., Expansion]) -> None:
        store = self.space.open_store()
        if store.records([trial.id for trial in self.expansion.trials]):
            return
        for other in self.spec.profiles:
            made = make(profile=other)
            if store.records([trial.id for trial in made.trials]):
                self.profile, self.why, self.expansion = other, "it has results", made
                return

    @property
    def every_profile(self) -> list[Expansion]:
        """What is asked for under each profile that the flags leave open."""
        if not self._any or not self.spec.profiles:
            return [self.expansion]
        return [self._make(profile=name) for name in self.spec.profiles]

    @property
    def headline(self) -> str:
        """How many cells, seeds and trials, which profile, and what `--set` does not reach."""
        profile = f"profile {self.profile} ({self.why})" if self.profile else "no profile"
        lines = [f"{self.spec.name}: {size_of(self.expansion)}, {profile}"]
        for path, cells in overruled(self.expansion):
            number = len(self.expansion.cells)
            lines.append(f"--set {path} has no effect in {cells} of {number} cells: a level decides there")
        return "\n".join(lines)

    @property
    def again(self) -> str:
        """The command that goes on with this one."""
        return typed_command()

    def needs_published_profile(self) -> None:
        """Nothing, if published numbers, or what a theory expects, can be compared with.

        Raises:
            UsageError: there are none, or they are for another profile or for unchanged settings.
        """
        wanted = {table.published.profile for table in self.spec.tables if table.published}
        if not wanted and any(table.expected for table in self.spec.tables):
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


def _seed_list(text: str | None) -> list[int] | None:
    """Seeds from "3" (that many) or "0,3,5" (these)."""
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    is_list = "," in text
    low, high = (0, 2**31 - 1) if is_list else (1, 10_000)
    if not numbers or min(numbers) < low or max(numbers) > high or len(set(numbers)) < len(numbers):
        raise UsageError(
            f"--seeds {text}: expected a number from 1 to 10000, or a list of different seeds from 0 to "
            "2147483647 such as 0,3,5"
        )
    return numbers if is_list else list(range(numbers[0]))


def _settings(changes: list[str]) -> dict[str, Any]:
    """Settings from "path=value", values read as in a sweep file."""
    settings: dict[str, Any] = {}
    for change in changes:
        path, sign, value = change.partition("=")
        if not sign or not path.strip():
            raise UsageError(f"--set {change}: expected path=value, such as optimizer.lr=0.1")
        place = f"--set {change}"
        settings[Key(path.strip(), place)] = parse(f"value: {value}", place)["value"]
    return settings
