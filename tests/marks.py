"""Marks of tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def but_first_slow(cases: Iterable[Any], first: int = 1) -> list[Any]:
    """Cases of a test, of which all but the `first` are left to the slow tests: they are more of a kind."""
    every = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*one, marks=pytest.mark.slow if n >= first else ()) for n, one in enumerate(every)]
