"""What trials ask of a node: cores, a share of a GPU, memory. Never part of a trial's identity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from orchestrator.errors import ExecutionError
from orchestrator.language.table_spec import LevelName
from trainers.config.base import Frozen, Runtime

Bundle = dict[str, float]
"""What a trial asks of a node, by Ray's names: CPU, GPU, memory (bytes), and names of the cluster's own."""

RESOURCE = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
GIB = 2**30
MOST_GPUS = 1024
"""GPUs of one trial, which are on one node."""


class TrialResources(Frozen):
    """What one trial asks of a node. What is None is left as it is elsewhere."""

    cpus: int | None = Field(None, ge=1)
    """CPU cores, and threads, of one trial; 1 unless said."""
    gpus: Annotated[float, Field(ge=0, le=MOST_GPUS)] | Literal["auto"] | None = None
    """Share of a GPU of one trial, such as 0.25; 0 trains on the CPU; unless said, a whole one where there
    is one; 2 and more, all of one node, for a trainer that uses them (command). "auto": as small as memory
    allows and as long as more trials at once get more done, found by training each kind of cell for a
    moment."""
    memory_gib: Annotated[float, Field(gt=0)] | Literal["auto"] | None = None
    """Memory of the node that is set aside for one trial, in GiB; unless said, none. "auto": what it was seen
    to need."""
    custom: dict[Annotated[str, Field(pattern=RESOURCE)], Annotated[float, Field(gt=0)]] | None = None
    """How much of the cluster's own resources, by the names its nodes were started with
    (ray start --resources)."""

    @field_validator("gpus", "memory_gib", mode="before")
    @classmethod
    def _a_number_or_auto(cls, value: Any, info: ValidationInfo) -> Any:
        # Without this, the error would list what is wrong with each of the forms.
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is None or value == "auto":
            return value
        if info.field_name == "gpus":
            if number and (0 <= value <= 1 or (value <= MOST_GPUS and value == int(value))):
                return value
            raise ValueError(f"expected a share of a GPU from 0 to 1, whole GPUs, or auto; got {value!r}")
        if not number or not 0 < value < math.inf:
            raise ValueError(f"expected GiB above 0, or auto; got {value!r}")
        return value

    @property
    def is_open(self) -> bool:
        """Whether something is still to be found out by a rehearsal."""
        return "auto" in (self.gpus, self.memory_gib)

    @property
    def share(self) -> float:
        """The share of a GPU, a whole one where it is open."""
        return 1.0 if self.gpus == "auto" else self.gpus or 0.0

    @property
    def bundle(self) -> Bundle:
        """All of it by Ray's names; memory that is open is left out."""
        bundle = {"CPU": float(self.cpus or 1)} | (self.custom or {})
        if self.share:
            bundle["GPU"] = self.share
        if self.memory_gib is not None and self.memory_gib != "auto":
            bundle["memory"] = float(int(self.memory_gib * GIB))
        return bundle

    def runtime(self, runtime: Runtime) -> Runtime:
        """`runtime` with the device and threads of a trial that asks for this."""
        device = "cuda" if self.share else "cpu"
        own = {"device": device, "threads": self.cpus or 1, "gpus": self.share}
        return runtime.model_copy(update=own)


class CellNeeds(TrialResources):
    """What the trials of some cells ask for instead."""

    where: dict[str, LevelName] = Field(min_length=1)
    """The cells: {axis: level}."""


class SweepResources(TrialResources):
    """What one trial needs. Never part of a trial's identity."""

    cells: tuple[CellNeeds, ...] = Field((), max_length=100)
    """What is different for some cells; where two of these hold, the later counts."""
    max_concurrent: int | None = Field(None, ge=1)
    """Most trials at once; None: as many as the machine has room for."""
    retries: int = Field(3, ge=0)
    """How often in a row a trial may lose its worker without an epoch in between, before it has failed."""

    def of(self, levels: Mapping[str, str | None], *, gpus: float) -> TrialResources:
        """What trials of the cell with these levels ask for; `gpus` where the file leaves that open."""
        layers = [self, *(c for c in self.cells if c.where.items() <= levels.items())]
        found: dict[str, Any] = {"gpus": gpus}
        for needs in layers:
            found |= needs.model_dump(include=set(TrialResources.model_fields), exclude_none=True)
        if found["gpus"] == "auto" and not gpus:
            found["gpus"] = 0.0  # there is nothing to share
        return TrialResources.model_validate(found)

    @property
    def with_auto(self) -> SweepResources:
        """Itself with everything that the file leaves unsaid to be found out by rehearsals."""
        return self.model_copy(
            update={
                "gpus": "auto" if self.gpus is None else self.gpus,
                "memory_gib": self.memory_gib or "auto",
            }
        )

    @property
    def most_cpus(self) -> int:
        """The most cores that any trial asks for."""
        return max(needs.cpus or 1 for needs in (self, *self.cells))


def fits(bundle: Bundle, node: Mapping[str, float]) -> bool:
    """Whether a node that has nothing else to do has all of it."""
    return all(node.get(name, 0) >= amount for name, amount in bundle.items())


def check_room(bundles: Sequence[Bundle], nodes: Sequence[Mapping[str, float]]) -> None:
    """A request that none of `nodes` can meet would wait for ever.

    Raises:
        ExecutionError: there is one.
    """
    for wanted in bundles:
        if any(fits(wanted, node) for node in nodes):
            continue
        most = {k: max((node.get(k, 0) for node in nodes), default=0) for k in wanted}
        lacking = [k for k, v in wanted.items() if most[k] < v]
        told = ", ".join(
            f"{_amount(k, wanted[k])}, where the largest node has {_amount(k, most[k])}" for k in lacking
        )
        together = " and ".join(_amount(k, v) for k, v in wanted.items())
        raise ExecutionError(
            f"a trial asks for {told or f'{together} on one node, which none has together'}",
            "lower `resources:` in the sweep file, or add a node",
        )


def _amount(name: str, value: float) -> str:
    if name == "memory":
        return f"{value / 2**30:g} GiB of memory"
    return f"{value:g} {name if name not in ('CPU', 'GPU') else name + ('s' if value != 1 else '')}"
