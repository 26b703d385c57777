"""What goes wrong with a store, as a person reads it."""

from __future__ import annotations

import errno
import os
import random

import pytest
from mlflow.exceptions import MlflowException

from orchestrator.errors import StoreError, StoreLocked, StoreRefused
from orchestrator.process.secrets import without_secret
from orchestrator.recording.store_errors import one_line_errors, raised

SQL = (
    "({}) {}\n[SQL: SELECT runs.run_uuid FROM runs WHERE runs.name = ?]\n[parameters: ('x',)]\n"
    "(Background on this error at: https://sqlalche.me/e/20/e3q8)"
)


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ])
def test_a_name_that_no_disk_takes_is_refused_and_not_waited_for(number: int) -> None:
    error = OSError(number, os.strerror(number), "/home/" + "a" * 300)
    assert isinstance(raised(error, "MLflow", None), StoreRefused)


@pytest.mark.parametrize(
    "error",
    [
        OverflowError("Python int too large to convert to SQLite INTEGER"),
        MlflowException("(builtins.OverflowError) Python int too large; failed with exception"),
    ],
)
def test_a_number_that_no_database_takes_is_refused_and_not_waited_for(error: Exception) -> None:
    with pytest.raises(StoreRefused, match="too large"), one_line_errors("MLflow"):
        raise error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_disk_that_may_be_mended_refuses_nothing_for_good(number: int) -> None:
    assert type(raised(OSError(number, os.strerror(number)), "MLflow", None)) is StoreError


def test_a_locked_file_is_a_line_with_a_next_step_and_without_sql() -> None:
    error = RuntimeError(SQL.format("sqlite3.OperationalError", "database is locked"))
    told = raised(error, "MLflow at sqlite:///a.db", 503)
    assert isinstance(told, StoreLocked)
    assert "another process writes to it" in str(told) and "run the same command again" in str(told)
    assert "SQL:" not in str(told) and "sqlalche.me" not in str(told) and "\n" not in str(told)


def test_a_damaged_file_is_a_line_with_a_next_step_and_without_sql() -> None:
    error = RuntimeError(SQL.format("sqlite3.DatabaseError", "database disk image is malformed"))
    told = str(raised(error, "MLflow at sqlite:///a.db", 400))
    assert "is damaged; move it away" in told and "orch sync" in told and "SQL:" not in told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("u:pw@host:5000", "host:5000"),
        ("http:/u:pw@h", "h"),
        ("http:/u:pw@h: no such host", "h: no such host"),
        ("cannot reach 'u:p@w@host:1' now", "cannot reach 'host:1' now"),
        ("ray://u:pw@h:10001", "ray://h:10001"),
        ("--set a=b:c", "--set a=b:c"),
        ("--set data.label=a:b@c", "--set data.label=a:b@c"),
        ("--set=data.label=a:b@c", "--set=data.label=a:b@c"),
        ("--tracking-uri=u:pw@h", "--tracking-uri=h"),
        ("RAY_ADDRESS=u:pw@h", "RAY_ADDRESS=h"),
        ("url=u:pw@host:5000", "url=host:5000"),
        ("root=http:/u:pw@h", "root=h"),
        ("http:/h/db?password=pw", "http:/h/db?..."),
        ("http://host:5000 from me@work", "http://host:5000 from me@work"),
    ],
)
def test_a_password_is_hidden_however_the_address_is_misspelt(text: str, shown: str) -> None:
    assert without_secret(text) == shown


@pytest.mark.parametrize("seed", range(5))
def test_a_secret_goes_from_any_address_and_nothing_from_what_is_none(seed: int) -> None:
    draw = random.Random(seed)

    def word(letters: str = "aZ0._-%+~$,;!") -> str:
        return "".join(draw.choices(letters, k=draw.randint(1, 8)))

    for _ in range(200):
        host = draw.choice(["h", "host.example.org", "127.0.0.1:5000", "[::1]:6379"])
        secret = f"S3CR{word('aZ0._-%+~$,;!:@/&')}T"
        address = draw.choice(
            [
                f"{draw.choice(['http', 'postgresql+psycopg2', 's3', 'ray'])}://u:{secret}@{host}/x",
                f"https://:{secret}@{host}",
                f"http:/u:{secret}@{host}",
                f"u:{secret}@{host}",
                f"http://{host}/x?token={secret}",
            ]
        )
        before = draw.choice(["", "no answer of ", "at '", "(", "--address=", "MLFLOW_TRACKING_URI="])
        assert "S3CR" not in without_secret(before + address), before + address
        value = f"{word('aZ0_-')}{draw.choice(['', ':' + word('aZ_-')])}@{word('aZ_-')}"
        plain = [f"data.{word('aZ_')}={value}", f"{word('aZ')}: {word()}", f"{word('aZ')}@{word('aZ')}"]
        text = " ".join(draw.sample(plain, 3))
        assert without_secret(text) == text
