"""What nobody may read in a log, a message or a store, and the files that others must not read."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

WEBHOOK = "ORCH_NOTIFY"
"""Variable with the address of a webhook, where whoever has it may write."""
RAY_TOKEN = Path("~/.ray/auth_token")
"""Lets its holder join, and run anything in, what this user starts with Ray."""
_FILES = {
    "RAY_AUTH_TOKEN_PATH": RAY_TOKEN,
    "AWS_SHARED_CREDENTIALS_FILE": Path("~/.aws/credentials"),
    "HF_TOKEN_PATH": Path("~/.cache/huggingface/token"),
    "": Path("~/.mlflow/credentials"),
}
"""Where secrets are, by the variable that names another place."""

_LONGEST = 4000
"""Characters of a word; what is longer is no address, and would take minutes to look through."""
_MISSPELT = re.compile(
    r"(^|[\s'\"(]|(?:--[\w-]+|(?<![\w.])[A-Z_]+)=|=(?=[A-Za-z][\w+.-]*:/|\S*@[\w.-]+(?::\d|/)))"
    r"[^\s/:@'\"=(]*:(?!//)\S*@"
)
"""user:password@host and http:/user:..., where an address may begin.

A value of any other name, such as data.label=a:b@c, is one only if it names a scheme, a port or a path.
"""


def passed_on() -> dict[str, str]:
    """This process's environment as those that it starts have it: without what is told to nobody."""
    return {name: value for name, value in os.environ.items() if name != WEBHOOK}


@contextlib.contextmanager
def kept_to_itself() -> Iterator[None]:
    """Inside, this process has none of that either, for what takes its environment as it is."""
    address = os.environ.pop(WEBHOOK, None)
    try:
        yield
    finally:
        if address is not None:
            os.environ[WEBHOOK] = address


def without_secret(text: str) -> str:
    """`text` with user and password left out of every address in it.

    A password may hold what an address may not, such as @ and /: drivers of databases take it as it is.
    """
    text = re.sub(rf"(\S{{{_LONGEST}}})\S+", r"\1…", text)
    text = _MISSPELT.sub(r"\1", text)
    text = re.sub(r"//(?:[^/\s:@]*:\S*|[^/\s]*)@", "//", text)
    return re.sub(r"(?<=:/)([^\s?]*)\?[^\s'\")]*", r"\1?...", text)  # a query may hold one, too


def secrets_open_to_others() -> list[Path]:
    """Files with this user's secrets that other users of this machine can read or change."""
    files = [Path(os.environ.get(variable) or default) for variable, default in _FILES.items()]
    return [path for path in (file.expanduser() for file in files) if _is_open(path)]


def _is_open(path: Path) -> bool:
    try:
        whole = path.resolve()
        if not whole.is_file() or not whole.stat().st_mode & 0o066:  # /dev/null, say, holds no secret
            return False
        return all(up.stat().st_mode & 0o011 for up in whole.parents)
    except OSError:  # not there, or in a folder that is closed to this user, too
        return False
