"""An HTTP answer that breaks off in its head is a broken connection, not an empty answer."""

from __future__ import annotations

import http.client

import urllib3.connection


class WholeResponse(http.client.HTTPResponse):
    """An answer that says how long it is, or has a body."""

    def begin(self) -> None:
        """Read the head.

        Raises:
            RemoteDisconnected: the connection ended within the head.
        """
        super().begin()
        # http.client takes the lines that arrived for all there are; without a length there is no body to
        # miss, and MLflow reads an empty body as {}: no runs, no experiments. They would be made again.
        if self.length is None and not self.chunked and not self.fp.peek(1):
            raise http.client.RemoteDisconnected("the answer broke off in its head")


def reject_truncated_responses() -> None:
    """Have every client in this process that is built on urllib3 see it so, MLflow's among them."""
    urllib3.connection.HTTPConnection.response_class = WholeResponse
