"""Kinds of figure and formats of tables wherever they are: a fault in one from elsewhere is one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType

from orchestrator.errors import OrchError, UsageError
from trainers.config import plugins
from trainers.config.examined import failed
from trainers.config.families import package_of
from trainers.config.foreign import PluginError


def load(kind: str, name: str) -> ModuleType:
    """The module of that name in a family, which has it.

    Raises:
        UsageError: it is of another package, and cannot be used.
    """
    try:
        return plugins.load(kind, name)
    except PluginError as error:
        raise UsageError(str(error)) from None


@contextlib.contextmanager
def blamed(kind: str, module: ModuleType) -> Iterator[None]:
    """Tell of an error in code of another package where in it that was, instead of ending the command.

    Raises:
        UsageError: there was one.
    """
    try:
        yield
    except OrchError:
        raise
    except Exception as error:
        if module.__name__.startswith(f"{package_of(kind)}."):
            raise
        raise UsageError(failed(error, module)) from error
