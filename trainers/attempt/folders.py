"""Where checkpoints lie: a folder on a disk, or one on S3. Files go in and out whole."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

PATIENT, HASTY = 11, 2
"""Attempts at one request: what a trial needs, half a minute if it is refused; what can be left undone."""
CONNECT_S, READ_S = 5, 30  # of one attempt
_REFUSED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_ELSEWHERE = {
    "301",
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}
_GONE = {"404", "NoSuchKey"}


class StorageError(OSError):
    """A folder of checkpoints does not take or give what it should; one line: place, cause, next step."""


class S3Folder(NamedTuple):
    """A folder on S3, or on a server that speaks as S3 does; used by a path's own sign: `folder / name`.

    It holds no connection and no credentials, so it may travel to other machines, whose own are used there.
    """

    bucket: str
    prefix: str
    """Names of folders, with a slash between two."""
    attempts: int = PATIENT

    def __truediv__(self, name: str) -> S3Folder:
        """The folder of that name in this one."""
        return self._replace(prefix="/".join(part for part in (self.prefix, name) if part))

    def __str__(self) -> str:
        """Its address."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def names(self) -> list[str]:
        """Names of the files in it."""
        start = f"{self.prefix}/" if self.prefix else ""
        with self._readable_errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=start, Delimiter="/"
            )
            return [found["Key"].removeprefix(start) for page in pages for found in page.get("Contents", ())]

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            FileNotFoundError: it is not there.
            StorageError: nobody knows, for the storage does not answer.
        """
        content = io.BytesIO()
        with self._readable_errors():
            # Not get_object: whoever reads its answer is not tried again when the connection breaks.
            self._client.download_fileobj(self.bucket, self._key(name), content)
        return content.getvalue()

    def write(self, name: str, content: io.BytesIO) -> None:
        """Put a file there, whole or not at all: one request, of which a crash leaves nothing.

        Raises:
            StorageError: it was refused, or nothing answered after all attempts.
        """
        content.seek(0)
        with self._readable_errors():
            self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=content)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._readable_errors():
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def remove_if_empty(self) -> None:
        """Nothing: on S3 a folder without files does not exist."""

    def _key(self, name: str) -> str:
        return (self / name).prefix

    @property
    def _client(self) -> Any:
        return _client(self.attempts)

    @contextlib.contextmanager
    def _readable_errors(self) -> Iterator[None]:
        """Whatever the client raises, in one line that holds no secret."""
        try:
            import botocore.exceptions as s3
            from boto3.exceptions import Boto3Error
            from s3transfer.exceptions import RetriesExceededError
        except ImportError:
            raise StorageError(f"{self}: needs boto3; install it, as with orch-ssl[cluster]") from None
        try:
            yield
        except s3.ClientError as error:
            # An answer that S3 itself did not write, such as a proxy's, has a status and no code.
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            code = str(error.response.get("Error", {}).get("Code") or status)
            if code in _GONE and error.operation_name != "ListObjectsV2":
                raise FileNotFoundError(f"{self}: no such file") from None
            raise StorageError(f"{self}: {self._told(code, error)}") from None
        except (s3.NoCredentialsError, s3.PartialCredentialsError, s3.CredentialRetrievalError):
            raise StorageError(
                f"{self}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
                "or give this machine a role"
            ) from None
        except s3.FlexibleChecksumError:
            raise OSError(f"{self}: a file is damaged") from None
        except (s3.ConnectionError, s3.HTTPClientError, Boto3Error, RetriesExceededError) as error:
            why = _in_one_line(getattr(error, "last_exception", error))
            raise StorageError(
                f"{self}: does not answer ({why}); check the network, and AWS_ENDPOINT_URL"
            ) from None
        except (s3.BotoCoreError, ValueError) as error:  # an endpoint that is no address is a ValueError
            raise StorageError(f"{self}: {_in_one_line(error)}; check the AWS_... variables") from None

    def _told(self, code: str, error: Exception) -> str:
        if code == "NoSuchBucket":
            return f"no bucket '{self.bucket}'; make it, or name another, and check AWS_ENDPOINT_URL"
        if code in _REFUSED:
            what = str(getattr(error, "operation_name", "the request"))
            return f"refuses {what} to these credentials ({code}); check them, and the bucket's policy"
        if code in _ELSEWHERE:
            return f"the bucket is in another region ({code}); set AWS_DEFAULT_REGION"
        return f"answers with an error ({code}): {_in_one_line(error)}"


class DiskFolder(NamedTuple):
    """A folder on a disk, also on one that several machines mount."""

    path: Path

    def names(self) -> list[str]:
        """Names of the files in it; none if there is no such folder.

        Raises:
            StorageError: nobody knows, for the disk does not say.
        """
        # Not Path.glob: of a folder that cannot be read it finds nothing.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), _readable(self.path):
            return os.listdir(self.path)
        return []

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            StorageError: nobody knows, for the disk does not give it.
            OSError: it is none; a pipe of that name would be waited for without end.
        """
        path = self.path / name
        with _readable(path):
            if not path.exists() or path.is_file():
                return path.read_bytes()
        raise OSError("no regular file")

    def write(self, name: str, content: io.BytesIO) -> None:
        """Put a file there, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        part = f"{name}.part"
        self.remove(part)  # left by a crash, or planted: whoever follows a link writes into another's file
        try:
            with open(self.path / part, "xb") as file:  # exclusive: follows no link
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            if (self.path / name).is_dir():
                self.remove(name)
            (self.path / part).replace(self.path / name)
        finally:
            (self.path / part).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there; a folder of that name is moved aside, for others may need it."""
        path = self.path / name
        if path.is_dir() and not path.is_symlink():
            path.rename(path.with_name(f"{name}.{uuid.uuid4().hex[:8]}.aside"))
        else:
            path.unlink(missing_ok=True)

    def remove_if_empty(self) -> None:
        """Remove the folder itself, unless something is left in it."""
        with contextlib.suppress(OSError):
            self.path.rmdir()


Folder = Path | S3Folder
"""A folder as settings name it."""


class Files(Protocol):
    """What both kinds of folder do. Laws: tests/contracts/test_checkpoints.py."""

    def names(self) -> list[str]:
        """Names of the files in it; none if there is no such folder."""

    def read(self, name: str) -> bytes:
        """A file's content."""

    def write(self, name: str, content: io.BytesIO) -> None:
        """Put a file there, whole or not at all."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def remove_if_empty(self) -> None:
        """Remove the folder itself, unless something is left in it."""


def files(folder: Folder, *, hasty: bool = False) -> Files:
    """What can be done with `folder`; `hasty`: without many attempts at what can be left undone."""
    if isinstance(folder, Path):
        return DiskFolder(folder)
    return folder._replace(attempts=HASTY) if hasty else folder


def unusable(folder: Folder, beside: str | None = None) -> str | None:
    """Why nothing can be kept in `folder`, in one line, or None: a file is written, found, read and removed.

    Args:
        folder: what is asked about.
        beside: a file that must be there, too: another machine, which should see the same folder, wrote it.
    """
    there, name, content = files(folder, hasty=True), f".orch-{uuid.uuid4().hex}", b"orch"
    try:
        there.write(name, io.BytesIO(content))
        try:
            names, kept = there.names(), there.read(name)
        finally:
            there.remove(name)
    except StorageError as error:
        return str(error)
    except OSError as error:
        return f"{folder}: cannot be written ({error.strerror or error}); choose another folder"
    if name not in names or kept != content:
        return f"{folder}: does not give back what was written; choose another folder"
    if beside and beside not in names:
        return f"{folder}: is another storage than the driver's; set AWS_ENDPOINT_URL alike everywhere"
    return None


@contextlib.contextmanager
def marked(folder: Folder) -> Iterator[str]:
    """Inside, a file of this name is in `folder`, for other machines to look for."""
    there, name = files(folder), f".seen-{uuid.uuid4().hex}"
    there.write(name, io.BytesIO())
    try:
        yield name
    finally:
        with contextlib.suppress(OSError):
            there.remove(name)


@functools.cache
def _client(attempts: int) -> Any:
    """A client of this process, with the credentials and the endpoint that its environment names."""
    import boto3
    from botocore.config import Config

    retries: dict[str, Any] = {"mode": "standard"}
    if not os.environ.get("AWS_MAX_ATTEMPTS"):  # else its user knows better
        retries["total_max_attempts"] = attempts
    config = Config(retries=retries, connect_timeout=CONNECT_S, read_timeout=READ_S)
    return boto3.Session().client("s3", config=config)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Inside, a disk's refusal to give what is at `path` says nothing of what that is."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror}); mend that, or remove it") from None


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    text = re.sub(
        r"//[^/\s\"]*@", "//", text
    )  # an endpoint's address may hold a password, a query a signature
    return re.sub(r"\?[^\s\"']*", "", text)[:300]
