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

from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Base64Bytes, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from orchestrator.events import VALUE, Deferred, Event, Finished, Progressed, Started
from orchestrator.execution.child.trials import Trials
from orchestrator.language.resources import SweepResources
from orchestrator.language.sweep_spec import ScheduleSpec
from trainers.attempt.folders import Folder
from trainers.config.base import Frozen, Runtime


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
    files: dict[str, Base64Bytes]
    """Their contents by path; encoded also where this is made."""
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
_Message = TypeVar("_Message")


class GarbledError(Exception):
    """A line that is no message."""


class Wire(Generic[_Message]):
    """Messages of one kind, each as a line of JSON."""

    def __init__(self, kind: Any) -> None:
        """Those of the type `kind`."""
        self._adapter: TypeAdapter[_Message] = TypeAdapter(kind)

    def line(self, message: _Message) -> bytes:
        """What is written for `message`."""
        return self._adapter.dump_json(message) + b"\n"

    def read(self, line: bytes) -> _Message:
        """The message of a line.

        Raises:
            GarbledError: it is none.
        """
        try:
            return self._adapter.validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise GarbledError(f"{line[:60]!r} is no message: {first}") from None


FROM_CHILD: Wire[FromChild] = Wire(Annotated[FromChild, Field(discriminator="event")])
FROM_DRIVER: Wire[FromDriver] = Wire(Annotated[FromDriver, Field(discriminator="ask")])
EVENTS: Wire[tuple[Event, ...]] = Wire(tuple[Annotated[Event, Field(discriminator="event")], ...])
"""Events together, for whoever passes them on unread."""
