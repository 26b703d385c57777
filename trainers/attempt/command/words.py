"""The words of a command: placeholders in braces, and what stands in their place.

    {lr}            the parameter lr; {model.width} one in a block
    {ema:--ema}     the word --ema where ema is true, and no word where it is false
    {ema:on|off}    one of two words
    {{ and }}       braces

Booleans are true and false; a list is a word for each of its values, or stands with commas inside a longer
word; a word with a parameter that is null is left out.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w.-]*)(?::([^{}|]*)(?:\|([^{}]*))?)?\}|[{}]")
ALL = "params"
"""The placeholder of all parameters, as JSON."""


class _NoWordError(Exception):
    """The word is left out."""


def names_in(word: str) -> list[str]:
    """Names of the placeholders in a word.

    Raises:
        ValueError: a brace belongs to none.
    """
    found = []
    for part in _PART.finditer(word):
        if part[0] in ("{", "}"):
            raise ValueError(
                f"a brace in {word!r} belongs to no {{name}}; write {part[0] * 2} for the brace itself"
            )
        if part[1]:
            found.append(part[1])
    return found


def filled(words: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    """The words with `values` in the place of their names; some words may be none, or several."""
    out: list[str] = []
    for word in words:
        whole = _PART.fullmatch(word)
        if whole and whole[1] and whole[2] is None and isinstance(values[whole[1]], list | tuple):
            out += map(text_of, values[whole[1]])
            continue
        if (text := one_word(word, values)) is not None:
            out.append(text)
    return out


def one_word(word: str, values: Mapping[str, Any]) -> str | None:
    """The word with `values` in the place of their names, a list with commas; None: it is left out."""
    instead = functools.partial(_instead, values=values, alone=_PART.fullmatch(word) is not None)
    with contextlib.suppress(_NoWordError):
        return _PART.sub(instead, word)
    return None


def text_of(value: Any) -> str:
    """A value as a command line has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(map(text_of, value))
    return json.dumps(_set(value), sort_keys=True) if isinstance(value, dict) else str(value)


def _set(value: Any) -> Any:
    """Parameters without those that are null, which are no part of a trial's identity; a list's items are."""
    if isinstance(value, list | tuple):
        return [_set(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _set(one) for name, one in value.items() if one is not None}


def _instead(part: re.Match[str], *, values: Mapping[str, Any], alone: bool) -> str:
    if not part[1]:
        return part[0][0]
    value = values[part[1]]
    if value is None or (alone and part[2] is not None and not value and part[3] is None):
        raise _NoWordError
    if part[2] is None:
        return text_of(value)
    return part[2] if value else part[3] or ""


def word_of(value: Any) -> Any:
    """A number as a word; what is neither stays for pydantic to refuse.

    Raises:
        ValueError: no process takes it.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return text_of(value)
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= one <= "\udfff" for one in value)):
        raise ValueError(f"{ascii(value)[:60]} has a character that no command can be given; leave it out")
    return value


def words_of(value: Any) -> Any:
    """The words of a command.

    Raises:
        ValueError: it is a text.
    """
    if isinstance(value, str):
        raise ValueError(
            f"expected a list of words, such as [{', '.join(value.split()) or 'python, train.py'}]"
        )
    return [word_of(one) for one in value] if isinstance(value, list | tuple) else value


def finite(value: Any) -> Any:
    """`value`, if it is one that JSON has.

    Raises:
        ValueError: a part of it is none, such as NaN.
    """
    if isinstance(value, Mapping):
        for key, one in value.items():
            if not isinstance(key, str):
                raise ValueError(f"expected names, got {key!r}")
            word_of(key)
            finite(one)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for one in value:
            finite(one)
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{value} is no parameter that can be passed on; expected a finite number")
    elif isinstance(value, str):
        word_of(value)
    elif value is not None and not isinstance(value, int | bool):
        raise ValueError(f"expected a number, a word, true, false, null or a list of them, got {value!r}")
    return value
