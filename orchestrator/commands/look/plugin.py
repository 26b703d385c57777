"""What `orch check-plugin` finds: each promise of a plug-in's family, and whether it is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Problem, SpecError
from orchestrator.language.hints import problems_of
from orchestrator.language.settings import nested
from orchestrator.process.signals import breaking_off
from orchestrator.rehearsal.contracts.laws import Finding, findings
from trainers.config.base import Frozen
from trainers.config.examined import Foreign
from trainers.config.families import CALLED
from trainers.config.foreign import PluginError, join


def named(entry: str) -> list[Foreign]:
    """The plug-ins of a file, a folder or a module.

    Raises:
        SpecError: one cannot be used.
    """
    try:
        return join(entry)
    except PluginError as error:
        raise SpecError(Problem("", "", line) for line in str(error).splitlines()) from None


def configured(plugin: Foreign, settings: dict[str, Any]) -> Frozen:
    """The plug-in's config, with settings over its defaults.

    Raises:
        SpecError: a setting is wrong, or one without a default is not given.
    """
    assert plugin.config is not None
    try:
        made: Frozen = plugin.config.model_validate(nested(settings))
    except ValidationError as error:
        problems = problems_of(error, settings, default=plugin.carried.place)
        told = (
            one._replace(message=f"{one.message}; give it by --set {one.path}=VALUE")
            if one.message == "is missing"
            else one
            for one in problems
        )
        raise SpecError(told) from None
    return made


@breaking_off("a plug-in was being checked, and nothing of that is kept")
def check(
    plugin: Foreign, settings: dict[str, Any], data_root: Path | None, say: Callable[[str], None]
) -> bool:
    """Whether a plug-in keeps all that its family promises; each is said as soon as it is known.

    Raises:
        SpecError: its config cannot be made.
    """
    if plugin.config is None:  # a kind of figure, or a format
        what = f"{CALLED[plugin.kind]} '{plugin.name}'"
        say(f"{plugin.carried.place}: {what} is found; there are no checks of it")
        return True
    config = configured(plugin, settings)
    say(f"{plugin.carried.place}: {CALLED[plugin.kind]} '{plugin.name}'")
    with tempfile.TemporaryDirectory(prefix="orch-check-") as folder:
        found = list(_said(findings(plugin.kind, config, lambda: _new(Path(folder)), data_root), say))
    kept = sum(one.problem is None for one in found)
    say(f"{plugin.carried.place}: keeps {kept} of {len(found)} promises")
    return kept == len(found)


def _said(found: Iterator[Finding], say: Callable[[str], None]) -> Iterator[Finding]:
    for one in found:
        say(f"  ok   {one.says}" if one.problem is None else f"  not  {one.says}: {one.problem}")
        yield one


def _new(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))
