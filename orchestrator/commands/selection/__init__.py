"""What a command is about, declared once: sweep file, profile, seeds, settings, store, data; how it is run.

A command asks for it with a parameter's default, and gets what was selected:

    def table(request: Request = selects(prefer_profile_with_results=True), form: ... = "text") -> None: ...
    def sweep(request: Request = selects(data=True), options: Options = runs(), ...) -> None: ...

`command` puts the options in that parameter's place, and makes errors end in one line each.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer
from typer.core import TyperCommand

from orchestrator.commands.options import (
    RUNNING,
    Checkpoints,
    Data,
    Home,
    MaxSeeds,
    Precision,
    Profile,
    Seeds,
    Set,
    Spec,
    Specs,
    Trust,
    Uri,
    kept,
    reported,
)
from orchestrator.errors import reworded
from orchestrator.execution.options import Options

_SETTING = re.compile(r"[A-Za-z_][\w.]*=.*")
Seed = Annotated[int, typer.Option(help="Seed of the trial.", min=0, max=2**31 - 1)]
AnySeed = Annotated[int | None, typer.Option(help="Seed of the trial.", show_default="all")]


WrongWords: type[Exception] = typer.BadParameter.__bases__[0]
"""What is raised for words that a command does not take; typer has no name for it."""


class Command(TyperCommand):
    """A command that says how a setting is given where one stands among its arguments."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words that are left."""
        given = next((word for word in args if _SETTING.fullmatch(word)), None)
        try:
            return super().parse_args(ctx, args)
        except WrongWords as error:
            message = getattr(error, "message", "")
            if given is not None and message.startswith("Got unexpected extra argument"):
                error.message = f"{message}; a setting is given as --set {given}"  # type: ignore[attr-defined]
            raise


class Selection(NamedTuple):
    """What of a selection a command takes."""

    several: bool
    seeds: Literal["many", "one", "any"]
    stored: bool
    data: bool
    checkpoints: bool
    prefer_profile_with_results: bool

    @property
    def options(self) -> dict[str, tuple[Any, Any]]:
        """Annotation and default of each option, by its parameter's name."""
        empty = inspect.Parameter.empty
        seeds: dict[str, dict[str, tuple[Any, Any]]] = {
            "many": {"seeds": (Seeds, None)},
            "one": {"seed": (Seed, 0)},
            "any": {"seed": (AnySeed, None), "seeds": (Seeds, None)},
        }
        found: dict[str, tuple[Any, Any]] = (
            {"specs": (Specs, empty)} if self.several else {"spec": (Spec, empty)}
        )
        found |= {"profile": (Profile, "auto"), **seeds[self.seeds], "changes": (Set, None)}
        if self.seeds == "many" and self.stored:
            found |= {"precision": (Precision, None), "max_seeds": (MaxSeeds, None)}
        found["trust"] = (Trust, False)
        if self.stored:
            found |= {"home": (Home, None), "tracking_uri": (Uri, None)}
        if self.data:
            found["data"] = (Data, None)
        if self.checkpoints:
            found["checkpoints"] = (Checkpoints, None)
        return found

    def made(self, values: dict[str, Any]) -> Any:
        """The request, or the requests one after another, from the options' values."""
        from orchestrator.commands.request import Request

        seed = values.pop("seed", None)
        if seed is not None:
            values["seeds"] = f"{seed},"
        values["prefer_profile_with_results"] = self.prefer_profile_with_results
        if not self.several:
            return Request(values.pop("spec"), **values)
        from orchestrator.recording.bundle.reading import each

        return Several(Request(file, **values) for file in each(values.pop("specs")))


class Several:
    """Requests one after another, which knows about which of them an error is."""

    filled: Callable[[str], str] | None = None
    """Of the request at hand; None: there is none."""

    def __init__(self, requests: Iterator[Any]) -> None:
        """These, each made when it is asked for."""
        self._requests = requests

    def __iter__(self) -> Iterator[Any]:
        """One after another."""
        for one in self._requests:
            self.filled = one.filled
            yield one
            self.filled = None


def selects(
    *,
    several: bool = False,
    seeds: Literal["many", "one", "any"] = "many",
    stored: bool = True,
    data: bool = False,
    checkpoints: bool = False,
    prefer_profile_with_results: bool = False,
) -> Any:
    """A command's parameter that is a `Request`, or an iterator of them.

    Args:
        several: whether it takes several files.
        seeds: "many", as a sweep has them; "one" trial's; "any": one trial's, or all.
        stored: whether results are somewhere.
        data: whether data is needed.
        checkpoints: whether checkpoints are.
        prefer_profile_with_results: whether the profile with results is meant where none is named.
    """
    return Selection(several, seeds, stored, data, checkpoints, prefer_profile_with_results)


class Run(NamedTuple):
    """What a command lets be said of how a sweep is run."""

    fields: tuple[str, ...]

    @property
    def options(self) -> dict[str, tuple[Any, Any]]:
        """Annotation and default of each option, by its field of `Options`."""
        defaults = Options._field_defaults | {"keep": None, "mirror": None}
        return {name: (RUNNING[name], defaults[name]) for name in self.fields}

    def made(self, values: dict[str, Any]) -> Options:
        """How it is run, by the options' values."""
        if "keep" in values:
            values = values | {"keep": kept(values["keep"])}
        if "mirror" in values:
            values = values | {"mirror": tuple(values["mirror"] or ())}
        return Options(**values)


def runs(*fields: str) -> Any:
    """A command's parameter that is `Options`, of which these fields, or all of them, can be said."""
    return Run(fields or tuple(RUNNING))


def filled_in(line: str, *, home: Path | None, tracking_uri: str | None) -> str:
    """`line` with the commands in it as they are typed about anything in that place."""
    from orchestrator.execution.screen.suggested import typed

    return typed("SPEC", {"home": home, "tracking_uri": tracking_uri}).filled(line)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """`function` as typer takes it: with the options of what it selects, and errors in a line each."""
    # Requests are known to type checkers alone: importing them takes pydantic with it.
    signature = inspect.signature(function, eval_str=True, locals={"Request": Any})
    parameters: list[inspect.Parameter] = []
    chosen: dict[str, Selection | Run] = {}
    for name, one in signature.parameters.items():
        if isinstance(one.default, Selection | Run):
            chosen[name] = one.default
            for option, (annotation, default) in one.default.options.items():
                kind = inspect.Parameter.KEYWORD_ONLY
                parameters.append(inspect.Parameter(option, kind, default=default, annotation=annotation))
        else:
            parameters.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(function)
    def typed(**values: Any) -> None:
        home, uri = values.get("home"), values.get("tracking_uri")

        def filled(line: str) -> str:
            about = next((one.filled for one in values.values() if getattr(one, "filled", None)), None)
            return about(line) if about else filled_in(line, home=home, tracking_uri=uri)

        with reported(), reworded(filled):
            for name, selection in chosen.items():
                values[name] = selection.made({option: values.pop(option) for option in selection.options})
            function(**values)

    typed.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    typed.__annotations__ = {one.name: one.annotation for one in parameters}
    del typed.__wrapped__
    return typed
