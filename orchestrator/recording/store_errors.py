"""What goes wrong with a tracking store, in one line: no secret, the cause, the next step."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable, Iterator

from orchestrator.errors import StoreAway, StoreError, StoreLocked, StoreRefused
from orchestrator.process.command import leave_removed_folder
from orchestrator.process.secrets import without_secret

_AWAY = (
    "max retries",
    "connection refused",
    "connection reset",
    "connection aborted",
    "failed to establish",
    "timed out",
    "too many 5",
    "could not connect",
    "server closed the connection",
    "broken pipe",
    "incompleteread",
    "jsondecodeerror",
    "connectionerror",
    "gone away",
    "lost connection",
    "is starting up",
    "is shutting down",
    "failed with exception",  # MLflow's words for whatever went wrong below HTTP
)

_LOCKED = ("database is locked", "database table is locked", "database schema is locked")
_NEVER = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
"""What an operating system answers to a name or a file that it will not take tomorrow either."""

_STATEMENT = re.compile(r"\s*\[(?:SQL|parameters): .*|\s*\(Background on this error at: .*")
"""What SQLAlchemy adds to a cause: nobody but its own authors reads that."""

OURS = (TypeError, LookupError, AttributeError, ValueError, ArithmeticError, AssertionError)
"""Errors that code of our own makes, too: only where a library's name stands on them are they the store's."""
_LIBRARIES = ("mlflow", "sqlalchemy", "alembic", "requests", "urllib3", "botocore", "boto3")


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """Whatever goes wrong while `what`, which the store holds, is read becomes one line.

    Raises:
        StoreError: somebody has edited it, or it is damaged.
    """
    try:
        yield
    except Exception as error:
        raise StoreError(
            f"{what} cannot be read ({type(error).__name__}: {reason(error)}); repair it in MLflow, or "
            "delete the run and have its trial trained again"
        ) from None


@contextlib.contextmanager
def one_line_errors(where: str, *, refused: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Whatever MLflow or the libraries below it raise becomes one line with the store and the next step.

    Args:
        where: the store in words.
        refused: is called before an error of the class StoreRefused is raised.
    """
    leave_removed_folder()
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        foreign = (
            isinstance(error, OSError | OverflowError) or type(error).__module__.split(".")[0] in _LIBRARIES
        )
        if isinstance(error, OURS) and not foreign:
            raise
        status = getattr(error, "get_http_status_code", lambda: None)()
        made = raised(error, where, status)
        if isinstance(made, StoreRefused):
            refused()
        raise made from None


def raised(error: Exception, where: str, status: int | None) -> StoreError:
    """The error to raise for `error`, with the store's name before its cause.

    Args:
        error: what the store's library raised.
        where: the store in words.
        status: the HTTP status that the store's library gives it, if it gives one.
    """
    text, line = f"{type(error).__name__} {error}".lower(), f"{where}: {reason(error)}"
    if "overflowerror" in text or "int too large to convert" in text:  # a number that no database takes
        return StoreRefused(line)
    if isinstance(error, OSError) and error.errno in _NEVER:
        return StoreRefused(line)
    if any(sign in text for sign in _LOCKED):
        return StoreLocked(line)
    if any(sign in text for sign in _AWAY) or (status in (408, 429, 502, 503, 504)):
        return StoreAway(line)
    # MLflow's own errors have names; a bare code is that of a proxy before a tracker that is restarted.
    if "error code 5" in text or "error code 404" in text:
        return StoreAway(line)
    if status in (400, 404, 413):
        return StoreRefused(line)
    return StoreError(line)


def reason(error: Exception) -> str:
    """The cause of `error` in one line, and what to do about it where that is known."""
    text = without_secret(" ".join(str(error).split()))
    text = _STATEMENT.sub("", text)
    lower = text.lower()
    if any(sign in lower for sign in _LOCKED):
        return (
            "another process writes to it for long; wait until that has ended, and run the same command again"
        )
    if "file is not a database" in lower or "file is encrypted" in lower:
        return "is not a database; move it away, or choose another folder with --home"
    if "disk image is malformed" in lower:
        return (
            "is damaged; move it away or put a copy in its place: `orch sync` then delivers what the journal "
            "has, and the same command trains what is missing"
        )
    if failing := re.search(r"too many (5\d\d) error responses", lower):
        return f"answers with server errors ({failing[1]}); its own log says why"
    if "max retries" in lower or "connection refused" in lower or "failed to establish" in lower:
        return "does not answer; start the server, or name no tracking URI to use a local file"
    if "error code 401" in lower:
        return (
            "wants a user and a password, and has got none or others; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    if "error code 403" in lower:
        return "refuses this user, or the name by which it is called (mlflow server --allowed-hosts)"
    if "can't locate revision" in lower or "out-of-date database schema" in lower:
        return "was made by another version of MLflow; upgrade mlflow, or run `mlflow db upgrade` on it"
    if "disk is full" in lower or "no space left" in lower:
        return "the disk is full; free some space and run the same command again"
    if "unable to open database file" in lower or "readonly database" in lower:
        return "the file cannot be written; check the folder, or choose another with --home"
    if isinstance(error, ImportError):
        return f"{text[:200]}; install what this kind of address needs, such as orch-ssl[cluster]"
    return text[:300]
