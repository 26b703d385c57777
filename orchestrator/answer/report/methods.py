"""What ran, in words for a paper's methods section, with the works to cite."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any, NamedTuple

from orchestrator.planning.difference import flat
from orchestrator.planning.expand import Expansion
from trainers.config.base import Frozen, LoopConfig, identity_dump
from trainers.config.families import SINGULAR
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


class Part(NamedTuple):
    """Something that a sweep's trials are made of."""

    what: str
    """Such as "method"."""
    name: str
    words: str
    """What it is, in a sentence: the first line of its file."""
    reference: str | None
    """BibTeX, where there is a work to cite."""


def parts_of(expansion: Expansion) -> list[Part]:
    """Every trainer, method, data set, encoder and optimizer that the cells use, each once."""
    found: dict[tuple[str, str], Part] = {}
    for cell in {one.id: one for one in expansion.cells}.values():
        for what, config in _plugins(cell.config()):
            name = str(getattr(config, "trainer" if what == SINGULAR["loops"] else "name"))
            if (what, name) not in found:
                module = behind(type(config))
                words = (inspect.getdoc(module) or "").partition("\n")[0]
                own = getattr(module, "REFERENCE", None)
                cited = own if isinstance(own, str) else entries().get(_CITED.get(name, name))
                found[what, name] = Part(what, name, words, cited)
    order = [SINGULAR[kind] for kind in ("loops", "methods", "datasets", "encoders", "optimizers")]
    return sorted(found.values(), key=lambda part: (order.index(part.what), part.name))


def settings_of(expansion: Expansion) -> list[tuple[str, str]]:
    """Settings that all cells share, by dotted path."""
    all_ = [dict(flat(identity_dump(one.config()))) for one in {c.id: c for c in expansion.cells}.values()]
    first, *others = all_
    alike = (path for path in first if path != "seed" and all(one.get(path) == first[path] for one in others))
    return [(path, str(first[path])) for path in alike]


@functools.cache
def entries() -> dict[str, str]:
    """BibTeX entries by their key."""
    text = resources.files(__package__).joinpath("references.bib").read_text(encoding="utf-8")
    found = re.findall(r"@\w+\{(\w+),.*?\n\}\n", text, flags=re.DOTALL)
    blocks = [f"@{part}" for part in text.split("@")[1:]]
    return {key: block.strip() for key, block in zip(found, blocks, strict=True)}


def _plugins(value: Any) -> Iterator[tuple[str, Frozen]]:
    """What the plug-ins are whose configs are in a config, and those configs; itself among them."""
    if isinstance(value, Frozen):
        for base in type(value).__mro__:
            kind = "loops" if base is LoopConfig else _FAMILIES.get(base.__module__)
            if kind is not None:
                yield SINGULAR[kind], value
                break
        for field in type(value).model_fields:
            yield from _plugins(getattr(value, field))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _plugins(one)


_FAMILIES = {f"trainers.{kind}.base": kind for kind in SINGULAR}
