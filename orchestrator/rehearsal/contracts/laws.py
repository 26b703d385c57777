"""What a check of a plug-in is, those that every family has, and what they find."""

from __future__ import annotations

import contextlib
import pickle
import random
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orchestrator.errors import printable
from trainers.attempt.isolation import clean_process
from trainers.config.base import Frozen, identity_dump
from trainers.config.families import module
from trainers.config.lazy import torch
from trainers.config.plugins import behind


class Broken(Exception):
    """A promise is not kept: what was got, what was expected, and what to do, in one line."""


class Subject(NamedTuple):
    """What is checked."""

    kind: str
    config: Frozen
    folder: Path
    """An empty folder for this check."""
    data_root: Path | None = None

    @property
    def module(self) -> Any:
        """The plug-in's module."""
        return behind(type(self.config))


Laws = dict[str, Callable[[Subject], None]]
"""Checks, which raise `Broken`, by what they promise."""


class Finding(NamedTuple):
    """What came of a check."""

    says: str
    problem: str | None
    """Why the promise is not kept; None: it is."""


def survives_a_file(subject: Subject) -> None:
    """A trial's config travels, and is hashed, as text."""
    config = subject.config
    after = type(config).model_validate_json(config.model_dump_json(exclude_unset=True))
    if after != config or identity_dump(after) != identity_dump(config):
        raise Broken("another config came back from JSON; give its fields types that pydantic reads again")


EVERY: Laws = {"its config is the same after it was written and read": survives_a_file}


def laws(kind: str) -> Laws:
    """The promises of a family."""
    own: Laws = module("orchestrator.rehearsal.contracts", kind).LAWS
    return EVERY | own


def findings(
    kind: str, config: Frozen, new_folder: Callable[[], Path], data_root: Path | None
) -> Iterator[Finding]:
    """What comes of each check of a plug-in, as soon as it is known.

    Args:
        kind: the plug-in's family.
        config: of the plug-in that is checked.
        new_folder: makes an empty folder.
        data_root: where data sets are looked for.
    """
    told = ""
    for says, check in laws(kind).items():
        problem = problem_of(check, Subject(kind, config, new_folder(), data_root))
        yield Finding(says, "as above" if problem and problem == told else problem)
        told = problem or told


def problem_of(check: Callable[[Subject], None], subject: Subject) -> str | None:
    """Why a promise is not kept, in one line."""
    try:
        with clean_process(threads=1):
            check(subject)
    except Broken as error:
        return printable(" ".join(str(error).split()))
    except (Exception, SystemExit) as error:  # whatever it is, it is somebody's code that is looked at
        own = subject.module.__file__
        frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename == own]
        where = f" ({Path(own).name}:{frames[-1].lineno})" if frames else ""
        reason = printable(" ".join(str(error).split()))[:300] or "no message"
        return f"{type(error).__name__}: {reason}{where}"
    return None


@contextlib.contextmanager
def no_global_draws(what: str, *, of_torch: bool = True) -> Iterator[None]:
    """Inside, nobody draws from a global random generator, of torch's only where `of_torch` is true.

    Raises:
        Broken: somebody has.
    """

    def states() -> dict[str, bytes]:
        return {
            "Python's `random`": pickle.dumps(random.getstate()),
            "NumPy's": pickle.dumps(np.random.get_state()),
            **({"torch's": torch.get_rng_state().numpy().tobytes()} if of_torch else {}),
        }

    before = states()
    yield
    moved = {whose: state != before[whose] for whose, state in states().items()}
    for whose, has in moved.items():
        if has:
            raise Broken(
                f"{what} drew from {whose} global generator; draw from trainers.randomness.stream(seed, "
                "purpose), so that a resumed trial sees the same numbers"
            )
