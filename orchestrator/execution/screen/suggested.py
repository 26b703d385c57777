"""The commands that a message suggests, as they are typed, or called in Python, about the same sweep."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.language.cells.seeds import as_typed
from orchestrator.language.yaml_text import in_a_line
from orchestrator.process.secrets import without_secret
from orchestrator.process.words import exact
from orchestrator.recording.bundle.layout import parts

if TYPE_CHECKING:
    from orchestrator.recording.stores.base import StoreAddress

Flags = Mapping[str, tuple[str, ...]]
"""What was said behind each flag; nothing behind one that is given or not."""
_PLACES = ("--home", "--tracking-uri", "--data", "--checkpoints")
_ONLY = {"--data": ("plan", "retry", "sweep"), "--checkpoints": ("export", "import", "retry", "sweep")}
"""The commands that take a flag which others do not."""
_OF_A_FILE = ("figures", "plan", "retry", "status", "sweep", "table")
_OF_A_CELL = ("logs", "why")
_OF_A_STORE = ("sync", "ui")
_TRAINING = ("retry", "sweep")
_WRITING = (*_TRAINING, "import")
"""The commands that write to a store, which no bundle is."""
_ELSEWHERE = (*_OF_A_FILE, *_OF_A_CELL, *_OF_A_STORE, "compare", "export", "import", "report", "stop")
_NAMED = re.compile(r"`orch ([^`]+)`")


class Typed(NamedTuple):
    """A file, and the flags that were given with it."""

    file: str
    """SPEC: any. Empty: the sweep was built in Python, and no command knows it."""
    flags: Flags
    bundle: str | None = None
    """The bundle that has the results; None: a store has them."""

    @property
    def words(self) -> list[str]:
        """The flags that ask for the same, wherever its results are."""
        return _words({flag: own for flag, own in self.flags.items() if flag not in _PLACES})

    def over(self, store: StoreAddress) -> Typed:
        """The same, where the results are in this store; one that was built in Python has no command."""
        return self.of_bundle(store.text) if self.file and store.only_read is not None else self

    def of_bundle(self, address: str) -> Typed:
        """The same, where the bundle at `address` has the results; or that which has the sweep."""
        named = parts(Path(self.file))
        return self._replace(bundle=str(named[0]) if named else address)

    def command(self, name: str, *more: str, seeds: Sequence[int] = ()) -> str:
        """The command of that name about the same; a flag among `more` counts instead of what was typed.

        `seeds` are all that the sweep has: a command about a cell knows no --precision, which may add some.
        """
        flags = self._flags(name)
        if name in _OF_A_CELL and flags.pop("--precision", ()):
            flags.pop("--max-seeds", ())
            flags["--seeds"] = (as_typed(seeds),)
        return _command(name, [self.file, *more], flags)

    def elsewhere(self, name: str, *words: str) -> str:
        """The command of that name about something else in the same place."""
        flags = self._flags(name)
        return _command(name, words, {flag: flags[flag] for flag in _PLACES if flag in flags})

    def filled(self, line: str, *, seeds: Sequence[int] = ()) -> str:
        """`line`, in which a command that names SPEC, or that needs one, is as it is typed about the same.

        Of a sweep that was built in Python it is what is called instead. Nothing trains into a bundle: a
        command that trains comes after an import of the bundle.
        """

        def whole(found: re.Match[str]) -> str:
            try:
                name, *words = shlex.split(found[1])
            except ValueError:  # somebody else's words
                return found[0]
            flags_alone, same = not words or words[0].startswith("-"), words[:1] == ["SPEC"]
            if self.bundle and name in _TRAINING:
                return self._after_import(name, words)
            if same or (flags_alone and name in _OF_A_FILE):
                more = words[same:]
                if self.file:
                    return f"`{self.command(name, *more, seeds=seeds)}`"
                return f"`{_called(more)}`" if name == "sweep" else found[0]
            if name in _ELSEWHERE and (not flags_alone or name in _OF_A_STORE):
                return f"`{self.elsewhere(name, *words)}`"
            return found[0]

        return _NAMED.sub(whole, line)

    def _after_import(self, name: str, words: Sequence[str]) -> str:
        """What trains the same, or what `words` name, once the results are in a store."""
        first = self.elsewhere("import", str(self.bundle))
        if words and words[0] != "SPEC" and not words[0].startswith("-"):
            return f"`{first}`, then `{self.elsewhere(name, *words)}`,"
        more = words[words[:1] == ["SPEC"] :]
        if parts(Path(self.file)) is None:
            return f"`{first}`, then `{self.command(name, *more)}`,"
        # The import lays the sweep file out, and prints what goes on with it, as with what has failed.
        said = {flag: own for flag, own in self.flags.items() if flag not in (*_PLACES, *more)}
        flags = [*(more if name == "sweep" else ()), *_words(said)]
        return f"the command that `{first}` prints" + (f", with `{shlex.join(flags)}`," if flags else "")

    def _flags(self, name: str) -> dict[str, tuple[str, ...]]:
        """What was typed that the command of that name can have."""
        there = self.flags.get("--tracking-uri", ())
        only_read = any(parts(Path(address)) is not None for address in there)
        other = "--tracking-uri" if only_read and name in _WRITING else None
        return {flag: own for flag, own in self.flags.items() if flag != other}


def typed(file: Path | str, given: Mapping[str, object]) -> Typed:
    """What was typed, from the values of parameters by name; those that say nothing are left out."""
    flags: dict[str, tuple[str, ...]] = {}
    for name, value in given.items():
        every = value if isinstance(value, list) else [exact(value) if isinstance(value, float) else value]
        if value:
            flags[f"--{name.replace('_', '-')}"] = () if value is True else tuple(map(str, every))
    return Typed(str(file), flags)


def loaded(file: Path | str, how: Mapping[str, Any], **read: Any) -> Typed:
    """What is typed for `Sweep.load(file, **how)`; its seeds are a list of them, if they are given.

    What was `read` of what is given counts; of what is not, a bundle says it, with settings of its own.
    """
    said = {name: read.get(name, value) for name, value in how.items() if value is not None}
    said.pop("prefer_profile_with_results", None)
    seeds, changes = said.pop("seeds", None), said.pop("changes", {})
    said["seeds"] = as_typed(seeds) if seeds else None
    said["set"] = [f"{path}={in_a_line(value)}" for path, value in changes.items() if path in how["changes"]]
    return typed(file, said)


def _command(name: str, words: Sequence[str], flags: Flags) -> str:
    taken = {f: own for f, own in flags.items() if f not in words and name in _ONLY.get(f, (name,))}
    return shlex.join(["orch", name, *map(without_secret, [*words, *_words(taken)])])


def _words(flags: Flags) -> list[str]:
    said = [[[flag, value] for value in own] or [[flag]] for flag, own in flags.items()]
    return [word for one in said for words in one for word in words]


def _called(words: Sequence[str]) -> str:
    """What does in Python what `orch sweep` does with these words."""
    sweep, arguments = "sweep", list[str]()
    for flag, value in itertools.zip_longest(words, words[1:], fillvalue="--"):
        if flag == "--seeds":
            sweep = f"Sweep(..., seeds=[{value.rstrip(',').replace(',', ', ')}])"
        elif flag.startswith("--"):
            given: object = True if value.startswith("--") else [value]
            arguments.append(f"{flag[2:].replace('-', '_')}={given}")
    return f"{sweep}.run({', '.join(arguments)})"
