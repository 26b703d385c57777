"""The protocol between a driver and its child process: one line of JSON per message, in UTF-8.

A driver starts a child with two pipes. It writes one job, and for `Train` later one `Go`; the child writes
what it is doing, what happens to trials, and at last how it ended. A closed pipe says that the other is dead.

    driver → child    train | rehearse | submit     what the child is for; the first line
                      go                            the trials to train
                      stop                          end after the epochs that run now
    child → driver    doing                          what is waited for, and how long silence may last
                      said                           a line for a person
                      started, progressed, deferred, finished      (events.py)
                      answer                         what `rehearse` and `submit` found
                      ended                          nothing follows

Whatever is no such line ends the conversation: the child is taken for lost. Nothing here is pickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from orchestrator.errors import ExecutionError
from orchestrator.events import VALUE, Deferred, Event, Finished, Progressed, Started
from orchestrator.language.resources import SweepResources
from orchestrator.language.sweep_spec import ScheduleSpec
from orchestrator.planning.designs import Choice
from orchestrator.planning.trials import Cell, TrialSpec
from trainers.attempt.folders import Folder
from trainers.config.base import Frozen, LoopConfig, Runtime
from trainers.config.examined import Carried
from trainers.config.foreign import PluginError, knowing, receive, used_by
from trainers.config.plugins import config_type


class WireCell(Frozen):
    """A cell as plain values."""

    choice: Choice
    trainer: str
    config: dict[str, Any]
    """What was set of the config, of some seed."""
    head: str
    tail: str

    def cell(self) -> Cell:
        """The cell.

        Raises:
            ValidationError: its config is none, as this process knows configs.
        """
        loop = config_type("loops", self.trainer)
        assert issubclass(loop, LoopConfig)
        config = loop.model_validate(self.config)
        fields = {name: getattr(config, name) for name in self.config if name != "seed"}
        return Cell(self.choice, loop, fields, self.head, self.tail)


class Trials(Frozen):
    """Trials as plain values: what they have in common once."""

    cells: tuple[WireCell, ...]
    trials: tuple[tuple[str, int, int], ...]
    """(id, place of its cell, seed) of each."""
    plugins: tuple[Carried, ...] = ()
    """Code that they need and that is not of this package."""

    def specs(self) -> list[TrialSpec]:
        """The trials.

        Raises:
            ExecutionError: they are other trials in this process than in the one that sent them, or their
                plug-ins cannot be had here.
        """
        with knowing({}):
            try:
                receive(self.plugins)
            except PluginError as error:
                raise ExecutionError(f"plug-in {error}") from None
            cells = [one.cell() for one in self.cells]
        specs = [TrialSpec(identity, cells[place], seed) for identity, place, seed in self.trials]
        for spec in specs:
            if spec.cell.trial_id(spec.seed) != spec.id:
                raise ExecutionError(
                    f"trial {spec.label} arrived as another one; was orch updated meanwhile?"
                )
        return specs


def on_the_wire(trials: Iterable[TrialSpec]) -> Trials:
    """`trials` as plain values."""
    places: dict[str, int] = {}
    cells: list[WireCell] = []
    listed = []
    plugins: dict[str, Carried] = {}
    for trial in trials:
        cell = trial.cell
        identity = f"{cell.head}\n{cell.tail}\n{cell.choice}"
        if identity not in places:
            places[identity] = len(cells)
            # Only what was set: some configs refuse a setting that counts for nothing, be it their default.
            config = cell.config()
            dumped = config.model_dump(mode="json", exclude_unset=True)
            plugins |= {one.carried.module: one.carried for one in used_by(config)}
            cells.append(
                WireCell(
                    choice=cell.choice, trainer=cell.trainer, config=dumped, head=cell.head, tail=cell.tail
                )
            )
        listed.append((trial.id, places[identity], trial.seed))
    return Trials(cells=tuple(cells), trials=tuple(listed), plugins=tuple(_texts_once(plugins.values())))


def _texts_once(plugins: Iterable[Carried]) -> Iterator[Carried]:
    """The plug-ins, each with the files that no other before it brings; its own it has always."""
    sent: set[str] = set()
    for one in plugins:
        yield one._replace(
            files={name: file for name, file in one.files.items() if name not in sent or name == one.module}
        )
        sent |= one.files.keys()


class Settings(Frozen):
    """What an executor is made from; each takes what it has a use for."""

    runtime: Runtime
    checkpoints: Folder | None
    """Each trial's checkpoints are in a folder of its id below it."""
    resources: SweepResources
    gpus: float = 0.0
    """GPUs of this machine, for trials that leave open what they need."""
    schedule: ScheduleSpec | None = None
    """Ends unpromising trials early; None for any sweep with a table."""
    address: str | None = None
    """A running cluster's address; None: this machine."""
    ship_code: bool = False
    """Whether the cluster's workers run this driver's code, sent to them, or their own."""
    verbose: bool = False
    """Whether what runs trials may print."""


class Train(Frozen):
    """Train trials, which follow with `Go`."""

    ask: Literal["train"] = "train"
    executor: str
    settings: Settings
    scratch: Path
    """A folder for whatever may be forgotten when the child has ended."""
    certain: bool
    """Whether trials are sure to follow: what takes long to start may be started."""


class Rehearse(Frozen):
    """Find out on a cluster what trials cost; answers with nodes and findings."""

    ask: Literal["rehearse"] = "rehearse"
    trials: Trials
    resources: SweepResources
    runtime: Runtime
    address: str
    limit_s: float


class Submit(Frozen):
    """Hand a command to a cluster; answers with the job's id."""

    ask: Literal["submit"] = "submit"
    name: str
    files: dict[str, str]
    command: tuple[str, ...]
    address: str


class Go(Frozen):
    """Train these."""

    ask: Literal["go"] = "go"
    trials: Trials


class Stop(Frozen):
    """Let the running epochs end, and no more."""

    ask: Literal["stop"] = "stop"


Job = Train | Rehearse | Submit
FromDriver = Job | Go | Stop


@dataclass(frozen=True, config=VALUE)
class Doing:
    """What the child does from now on."""

    what: str
    """What a person waits for, such as "starting Ray"; empty while trials are trained."""
    limit_s: float
    """A child that is silent for so long hangs."""
    event: Literal["doing"] = "doing"


@dataclass(frozen=True, config=VALUE)
class Said:
    """A line for a person."""

    text: str
    event: Literal["said"] = "said"


@dataclass(frozen=True, config=VALUE)
class Answer:
    """What was asked for, as plain values."""

    value: Any
    event: Literal["answer"] = "answer"


@dataclass(frozen=True, config=VALUE)
class Ended:
    """The child has nothing more to say."""

    how: Literal["complete", "interrupted", "refused", "lost"]
    """Everything was done; it was asked to stop; it cannot be done as asked; what runs trials has died."""
    reason: str = ""
    next_step: str = ""
    """What a person may do about it."""
    event: Literal["ended"] = "ended"


FromChild = Started | Progressed | Deferred | Finished | Doing | Said | Answer | Ended
_FROM_CHILD: TypeAdapter[FromChild] = TypeAdapter(Annotated[FromChild, Field(discriminator="event")])
_FROM_DRIVER: TypeAdapter[FromDriver] = TypeAdapter(Annotated[FromDriver, Field(discriminator="ask")])
_EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Annotated[Event, Field(discriminator="event")]])


class GarbledError(Exception):
    """A line that is no message."""


def child_line(message: FromChild) -> bytes:
    """What a child writes for `message`."""
    return _FROM_CHILD.dump_json(message) + b"\n"


def read_child_line(line: bytes) -> FromChild:
    """The message of a child's line.

    Raises:
        GarbledError: it is none.
    """
    return _parsed(_FROM_CHILD, line)


def driver_line(message: FromDriver) -> bytes:
    """What a driver writes for `message`."""
    return _FROM_DRIVER.dump_json(message) + b"\n"


def read_driver_line(line: bytes) -> FromDriver:
    """The message of a driver's line.

    Raises:
        GarbledError: it is none.
    """
    return _parsed(_FROM_DRIVER, line)


def encode_events(events: Sequence[Event]) -> bytes:
    """Events as one piece of JSON, for whoever passes them on unread."""
    return _EVENTS.dump_json(list(events))


def decode_events(content: bytes) -> list[Event]:
    """The events of such a piece.

    Raises:
        GarbledError: it holds none.
    """
    return _parsed(_EVENTS, content)


_Message = TypeVar("_Message")


def _parsed(adapter: TypeAdapter[_Message], content: bytes) -> _Message:
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise GarbledError(f"{content[:60]!r} is no message: {first}") from None
