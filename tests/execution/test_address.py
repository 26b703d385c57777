"""The address of a cluster: what a person may type, and what is said of everything else."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from orchestrator.errors import ExecutionError, UsageError
from orchestrator.execution import address as addresses
from orchestrator.execution.address import check_reachable, page_address, parsed_address


@pytest.fixture
def head() -> Iterator[str]:
    """Something that listens and says nothing, as Ray's head does when it is spoken to in HTTP."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def hang_up() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("form", ["{}", " {}\n", "{} ", "ray://{}"])
def test_an_address_may_have_blanks_around_it(head: str, form: str) -> None:
    address = form.format(head).strip()
    assert parsed_address(form.format(head)) == address
    check_reachable(address)


def test_where_auto_is_only_ray_knows() -> None:
    assert parsed_address("auto ") == "auto"
    check_reachable("auto")


def test_local_is_this_machine() -> None:
    assert parsed_address("local") is None


def test_a_name_that_is_none_is_nowhere() -> None:
    with pytest.raises(ExecutionError, match=r"^no Ray at a\.\.b:6379: no such name or no answer; check"):
        check_reachable("a..b:6379")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "head",
        "http://127.0.0.1:8265",
        "127.0.0.1:",
        "127.0.0.1:99999",
        "a b:6379",
        "u:pw@head:6379",
        "h:1:2",
    ],
)
def test_what_is_no_address_is_said_to_be_none_without_its_password(text: str) -> None:
    with pytest.raises(UsageError, match="expected HOST:PORT of Ray's head") as raised:
        parsed_address(text)
    assert "pw" not in str(raised.value)


def test_the_variable_is_named_when_it_was_not_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(
        ExecutionError, match=r"no Ray at 127.0.0.1:9: Connection refused; check RAY_ADDRESS, or unset it"
    ):
        check_reachable("127.0.0.1:9")
    with pytest.raises(ExecutionError, match=r"no Ray at 127.0.0.1:1: .*check --address, or leave it out"):
        check_reachable("127.0.0.1:1")


def test_what_takes_no_call_is_waited_for_no_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "KNOCK_S", 0.2)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        with pytest.raises(ExecutionError, match=f"no Ray at 127.0.0.1:{port}: .*; check"):
            check_reachable(f"127.0.0.1:{port}")
        for one in waiting:
            one.close()


def test_a_name_that_nobody_looks_up_is_waited_for_no_longer_than_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "REACH_S", 0.1)
    monkeypatch.setattr(addresses.socket, "create_connection", lambda *_, **__: time.sleep(5))
    with pytest.raises(ExecutionError, match=r"^no Ray at far\.away:6379: no such name or no answer; check"):
        check_reachable("far.away:6379")


def test_ctrl_c_ends_the_look_up_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_up(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    monkeypatch.setattr(addresses.socket, "create_connection", looked_up)
    begun = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background has not
    try:
        with pytest.raises(KeyboardInterrupt):
            check_reachable("far.away:6379")
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize("text", ["http://127.0.0.1:8265", " https://ray.example/jobs\n", "http://u:pw@h:1"])
def test_the_address_of_a_dashboard_may_have_blanks_around_it(text: str) -> None:
    assert page_address(text) == text.strip()


@pytest.mark.parametrize(
    "text", ["", "head", "ray://h:1", "u:pw@h:8265", "ftp://u:pw@h", "http://", "http:/u:pw@h"]
)
def test_what_is_no_dashboard_is_said_to_be_none_without_its_password(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--address .*: expected the address of Ray's dashboard") as raised:
        page_address(text)
    assert "pw" not in str(raised.value)


def test_a_dashboard_without_its_scheme_is_asked_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "h:8265 ")
    with pytest.raises(UsageError, match=r"^RAY_API_SERVER_ADDRESS h:8265: .*did you mean http://h:8265\?$"):
        page_address("h:8265 ")


def test_the_variable_is_named_whatever_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", " http://127.0.0.1:8265\n")
    with pytest.raises(UsageError, match=r"^RAY_ADDRESS http://127.0.0.1:8265: .*is for `orch submit`$"):
        parsed_address(" http://127.0.0.1:8265\n")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert addresses.way_out("auto") == "check RAY_ADDRESS, or unset it to start one here"
    assert addresses.way_out("head:6379") == "check --address, or leave it out to start one here"
