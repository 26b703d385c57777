"""A proxy on the loopback address that treats a tracker's requests as a bad network would."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

LOOPBACK = "127.0.0.1"


class Fault(NamedTuple):
    """What happens to a request."""

    kind: Literal["dropped", "lost", "cut", "delayed", "answered"]
    """Dropped before it arrives; its answer lost, or cut after some bytes; passed on late; answered here."""
    amount: float = 0
    """Bytes of a cut answer, seconds of a delay, the status of an answer of the proxy's own."""


Rule = Callable[[int, str], Fault | None]
"""The fault of a request, by its number and its first line; None lets it pass."""


class Proxy:
    """Passes requests on, one a connection, unless its rule says otherwise."""

    def __init__(self, upstream: int) -> None:
        """A closed proxy before the server at that port of this machine."""
        self.upstream = upstream
        self.rule: Rule = lambda number, line: None
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        with socket.create_server((LOOPBACK, 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._listening: socket.socket | None = None

    def open(self) -> None:
        """Listen; a closed proxy refuses every connection."""
        self._listening = socket.create_server((LOOPBACK, self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        if self._listening is not None:
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            self._listening.close()
            self._listening = None

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(60)
            request = _request(client)
            if not request:
                return
            line = request.split(b"\r\n", 1)[0].decode()
            with self._lock:
                fault = self.rule(len(self.requests), line)
                self.requests.append(line)
                self.faults.extend([fault] if fault else [])
            client.sendall(self._answer(request, fault))

    def _answer(self, request: bytes, fault: Fault | None) -> bytes:
        kind, amount = fault or (None, 0)
        if kind == "dropped":
            return b""
        if kind == "answered":
            body = b"<html>not now</html>"
            head = f"HTTP/1.1 {int(amount)} No\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            return head.encode() + body
        if kind == "delayed":
            time.sleep(amount)
        answer = self._passed_on(request)
        if kind == "lost":
            return b""
        return answer[: int(amount)] if kind == "cut" else answer

    def _passed_on(self, request: bytes) -> bytes:
        with socket.create_connection((LOOPBACK, self.upstream), timeout=60) as server:
            server.sendall(request)
            answer = b""
            while part := server.recv(65536):
                answer += part
        return answer


def _request(client: socket.socket) -> bytes:
    """A whole request, which asks for its connection to be closed after the answer."""
    content = b""
    while b"\r\n\r\n" not in content:
        part = client.recv(65536)
        if not part:
            return b""
        content += part
    head, _, body = content.partition(b"\r\n\r\n")
    if re.search(rb"(?i)\r\nexpect: *100-continue", head):
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = re.sub(rb"(?i)\r\nexpect:[^\r]*", b"", head)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    while len(body) < (int(length.group(1)) if length else 0):
        part = client.recv(65536)
        if not part:
            return b""
        body += part
    head = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head)
    return head + b"\r\nConnection: close\r\n\r\n" + body
