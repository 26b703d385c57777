"""What ran, in words for a paper's methods section, with the works to cite."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import NamedTuple

from orchestrator.answer.statistics.sign_flips import EXACT
from orchestrator.answer.tables.notes import unpaired
from orchestrator.planning.evaluations import protocols
from orchestrator.planning.expand import Expansion, size
from orchestrator.process.words import counted, listed
from orchestrator.records import TrialRecord
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


_TOLD = frozenset(
    {
        "batch_size",
        "epochs",
        "optimizer.lr",
        "optimizer.momentum",
        "optimizer.weight_decay",
        "precision",
        "probe.epochs",
    }
)
"""Settings that a methods section names; a page lists the others."""


class Part(NamedTuple):
    """Something that a sweep's trials are made of."""

    what: str
    """Such as "method"."""
    name: str
    words: str
    """What it is, in a sentence: the first of its file."""
    reference: str | None
    """BibTeX, where there is a work to cite."""

    @property
    def key(self) -> str | None:
        """The name of that entry."""
        found = re.match(r"\s*@\w+\{([^,\s]+),", self.reference or "")
        return found[1] if found else None


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


def methods_of(
    expansion: Expansion,
    records: Mapping[str, TrialRecord],
    parts: Sequence[Part],
    settings: Sequence[tuple[str, str]],
) -> list[str]:
    """What ran, as sentences for a methods section, with the keys of works to cite in brackets."""
    axes = [f"{name} ({listed(axis.labels, 6)})" for name, axis in expansion.spec.axes.items()]
    design = expansion.spec.design.replace("_", " ")
    told = [f"The design is {size(expansion)}" + (f", {design} over {'; '.join(axes)}." if axes else ".")]
    made_of = (f"{part.what} {part.name}" + (f" [{part.key}]" if part.key else "") for part in parts)
    told.append(f"Trials are made of: {', '.join(made_of)}.")
    if alike := [f"{path} {value}" for path, value in settings if path in _TOLD]:
        told.append(f"All cells share {', '.join(alike)}.")
    if judged := [f"{name} ({words})" for name, words in protocols(expansion).items()]:
        told.append(f"Trained encoders are evaluated by {', '.join(judged)}.")
    paired = any(table.baseline for table in expansion.spec.tables)
    declared = any(getattr(behind(cell.loop), "PAIRED", "") for cell in expansion.cells)
    if paired and not declared and not unpaired(expansion, records):
        told.append("Cells of a seed share their random streams, so differences are paired by seed.")
    there = [records[one.id] for one in expansion.trials if one.id in records]
    there = [one for one in there if one.code_version]
    if versions := sorted({str(one.code_version) for one in there}):
        gpu = sum(one.on_gpu for one in there)
        told.append(
            f"{counted(len(there), 'trial')} of the code {', '.join(versions)}"
            + (f", {gpu} of them on a GPU." if gpu else ".")
        )
    told.append("Numbers are means ± standard deviations over seeds, intervals are of 95 % by Student's t.")
    if paired:
        most = max(len(expansion.seeds_of(cell)) for cell in expansion.cells)
        exact = "exact " if most <= EXACT else ""  # of more seeds, signs are drawn
        told.append(
            f"Differences are tested by {exact}two-sided sign flips, adjusted by Holm's method over all "
            "comparisons of a metric [holm]; rates of collapse and divergence have Clopper–Pearson intervals "
            "[clopper_pearson]."
        )
    if any(part.best for table in expansion.spec.tables for part in table.parts):
        told.append(
            "The best cells of a table are those that no other is shown to beat: every pair is tested by "
            "two-sided sign flips, adjusted by Holm's method over all pairs of a metric [holm]."
        )
    return told


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
