"""A server on the loopback address that speaks as S3 does, and the settings with which it is used."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator
from typing import Any

from tests.proxy import LOOPBACK
from trainers.attempt import folders


class Storage:
    """Moto's server, as a program sees it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.settings = settings(f"http://{LOOPBACK}:{port}")
        self._numbers = itertools.count()

    def new_bucket(self) -> str:
        """The name of a bucket that was made just now."""
        name = f"bucket-{next(self._numbers)}"
        with contextlib.closing(self._client()) as client:
            client.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> list[str]:
        """Everything in a bucket."""
        with contextlib.closing(self._client()) as client:
            found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return [one["Key"] for one in found]

    def _client(self) -> Any:
        import boto3

        return boto3.Session("key", "secret", region_name="us-east-1").client(
            "s3", endpoint_url=self.settings["AWS_ENDPOINT_URL"]
        )

    @contextlib.contextmanager
    def forgotten(self) -> Iterator[None]:
        """Before and after, this process has no client: it would keep the settings it was made with."""
        folders._client.cache_clear()
        yield
        for attempts in (folders.PATIENT, folders.HASTY) if folders._client.cache_info().currsize else ():
            with contextlib.suppress(Exception):
                folders._client(attempts).close()
        folders._client.cache_clear()


def settings(endpoint: str) -> dict[str, str]:
    """The environment of a program that uses S3 at `endpoint`."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextlib.contextmanager
def served() -> Iterator[Storage]:
    """A server that ends with the block."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    try:
        yield Storage(server.get_host_and_port()[1])
    finally:
        server.stop()
