"""What ran, in words for a paper's methods section, with the works to cite."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable
from importlib import resources
from typing import NamedTuple

from orchestrator.planning.expand import Expansion
from trainers.config.base import Frozen, LoopConfig, flat, identity_dump
from trainers.config.examined import family_of
from trainers.config.families import SINGULAR
from trainers.config.foreign import configs_in
from trainers.config.plugins import behind

_CITED = {  # by family and name, where the entry is called otherwise
    "directpred_partitioned": "directpred",
    "optimal": "directpred",
    "linear_dynamics": "directpred",
    "modes": "directpred",
    "resnet18": "resnet",
    "resnet50": "resnet",
    "cifar10": "cifar",
    "cifar100": "cifar",
}
_FIRST = re.compile(r"(?<=\w{3}\.) (?=[A-Z])")  # the end of a sentence, and not of "et al." or "vs."


class Part(NamedTuple):
    """Something that a sweep's trials are made of."""

    what: str
    """Such as "method"."""
    name: str
    words: str
    """What it is, in a sentence: the first of its file."""
    reference: str | None
    """BibTeX, where there is a work to cite."""


def configs_of(expansion: Expansion) -> list[LoopConfig]:
    """The config of each cell, equal ones once."""
    return [cell.config() for cell in {one.id: one for one in expansion.cells}.values()]


def parts_of(configs: Iterable[LoopConfig]) -> list[Part]:
    """Every trainer, method, data set, encoder and optimizer that configs use, each once."""
    found: dict[tuple[str, str], Part] = {}
    for config in (own for whole in configs for own in configs_in(whole)):
        kind = family_of(type(config))
        if kind is None or not isinstance(config, Frozen):
            continue
        what, name = SINGULAR[kind], str(getattr(config, "trainer" if kind == "loops" else "name"))
        if (what, name) not in found:
            module = behind(type(config))
            words = _FIRST.split((inspect.getdoc(module) or "").partition("\n")[0], maxsplit=1)[0]
            own = getattr(module, "REFERENCE", None)
            cited = own if isinstance(own, str) else entries().get(_CITED.get(name, name))
            found[what, name] = Part(what, name, words, cited)
    order = [SINGULAR[kind] for kind in ("loops", "methods", "datasets", "encoders", "optimizers")]
    return sorted(found.values(), key=lambda part: (order.index(part.what), part.name))


def settings_of(configs: Iterable[LoopConfig]) -> list[tuple[str, str]]:
    """Settings that all of them share, by dotted path."""
    first, *others = (dict(flat(identity_dump(config))) for config in configs)
    alike = (path for path in first if path != "seed" and all(one.get(path) == first[path] for one in others))
    return [(path, str(first[path])) for path in alike]


@functools.cache
def entries() -> dict[str, str]:
    """BibTeX entries by their key."""
    text = resources.files(__package__).joinpath("references.bib").read_text(encoding="utf-8")
    found = re.finditer(r"@\w+\{(\w+),.*?\n\}", text, flags=re.DOTALL)
    return {one[1]: one[0] for one in found}
