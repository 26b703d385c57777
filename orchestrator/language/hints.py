"""pydantic's errors as one-line problems: place, path, what was got, the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Problem
from orchestrator.language.yaml_text import place_of

Path = tuple[str | int, ...]
MOST_PROBLEMS = 100
"""Problems of one kind that are told one by one; each looks for the nearest name."""


def problems_of(error: ValidationError, tree: Any, *, default: str, prefix: Path = ()) -> list[Problem]:
    """Every problem in `error`.

    Args:
        error: what validating a part of `tree` raised.
        tree: the data as it was read, with keys that know their line.
        default: place to name where no key is known.
        prefix: path of the validated part in `tree`.
    """
    errors = error.errors(include_url=False)
    found = [_problem(e, tree, default, prefix) for e in errors[:MOST_PROBLEMS]]
    if more := len(errors) - len(found):
        found.append(Problem(default, "", f"{more} more problems"))
    return found


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the valid names: the nearest one if there is one, else all of them."""
    known = list(names)
    if close := closest(name, known):
        return f"did you mean '{close}'?"
    return f"known: {', '.join(known)}" if known else "there are none"


def closest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is meant by a misspelt `name`; None if none is like it."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)), None)


def shown(value: Any, limit: int = 60) -> str:
    """`value` as it may stand in a one-line message."""
    return cut(" ".join(repr(value).split()), limit)


def cut(text: str, limit: int = 60) -> str:
    """The start of `text`, as far as a one-line message has room for it."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _problem(error: Any, tree: Any, default: str, prefix: Path) -> Problem:
    kind, message, context = error["type"], error["msg"], error.get("ctx", {})
    at = getattr(context.get("error"), "at", "")
    loc: Path = (*prefix, *error["loc"], *(at.split(".") if at else ()))
    path = _written(tree, loc, keep_last=kind in ("missing", "unknown_key"))
    # Who names what is not there has written the name, however many lay other fields of the block over it.
    place = place_of(tree, (*loc, "name") if kind == "unknown_plugin" else loc, default)
    if kind == "unknown_key":
        message = f"no such field; {nearest(str(loc[-1]), context['names'])}"
    elif kind == "unknown_plugin":
        close = closest(context["name"], context["names"])
        message += f"; did you mean '{close}'?" if close else ""
    elif kind == "missing":
        message = "is missing"
    else:
        message = message.removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        if not isinstance(error["input"], dict) and kind != "value_error":
            message += f", got {shown(error['input'])}"
    return Problem(place, path, message)


def _written(tree: Any, loc: Path, *, keep_last: bool) -> str:
    """`loc` as a user would write it: without the union branches that pydantic adds."""
    parts: list[str] = []
    for index, part in enumerate(loc):
        if isinstance(tree, dict) and part in tree:
            tree = tree[part]
        elif isinstance(tree, list) and isinstance(part, int):
            tree = tree[part] if part < len(tree) else None
        elif not (index == len(loc) - 1 and keep_last):
            continue
        parts.append(str(part))
    return ".".join(parts)
