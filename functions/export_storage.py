"""The private bucket of export files. Its errors become ours here.

The storage API answers most errors with HTTP 400 and the real status, as text, in the body.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from pydantic import BaseModel, Field, ValidationError
from storage3.exceptions import StorageApiError
from storage3.utils import StorageException

from functions.errors import Defect, EngineError, Refused, Unavailable
from functions.export_run import ExportFile
from functions.settings import Settings
from functions.supabase_connection import (
    SupabaseConnection,
    connection_broke,
    repeated,
)

# As the migrations name it: the database looks for the file there before it completes a run.
_BUCKET: Final = "exports"
_EXISTS: Final = "409"
_GONE: Final = "404"
# An object that row-level security does not show, or that is gone.
_NOT_SHOWN: Final = frozenset({"400", "401", "403", "404"})
# The key is refused, the bucket is missing or does not take this type: waiting mends none of them.
_SET_UP_WRONG: Final = frozenset({"401", "403", "404", "415"})
# Too many requests, or a server that is being replaced. Not 504 and 544: these waited already.
_SOON_OVER: Final = frozenset({"429", "500", "502", "503"})


@dataclass(frozen=True)
class SignedLink:
    """Whoever has `url` may download the file for `expires_in` seconds; it cannot be revoked."""

    url: str
    expires_in: int


@dataclass(frozen=True)
class StoredBytes:
    """What the bytes of an object are, whatever anybody wrote beside them."""

    sha256: str
    size: int


class _StoredHash(BaseModel):
    sha256: str | None = None


class _StorageAnswer(BaseModel):
    status_code: str = Field(alias="statusCode")
    error: str = "storage error"


class _StoredObject(BaseModel):
    size: int
    metadata: _StoredHash | None = None


class ExportStorage:
    """Stateless; safe to share."""

    def __init__(self, connection: SupabaseConnection, settings: Settings) -> None:
        self._connection = connection
        self._link_seconds = settings.export_link_seconds
        self._retry_seconds = settings.export_retry_seconds

    async def store(self, content: Path, file: ExportFile) -> None:
        """Uploads without replacing. An object that is there already must have the same bytes.

        Raises:
            Refused: `file_too_large`, or `file_conflict` when other bytes lie at the path.
        """
        if not await repeated(lambda: self._upload(content, file), self._retry_seconds):
            await repeated(lambda: self._compare(file), self._retry_seconds)

    async def signed_link(self, file: ExportFile, token: str) -> SignedLink | None:
        """A link made with the user's own token; None when the bucket shows that user no file."""
        bucket = self._connection.as_user(token).storage().from_(_BUCKET)
        with _storage_errors_translated():
            try:
                signed = await bucket.create_signed_url(
                    file.path, self._link_seconds, {"download": file.name}
                )
            except StorageApiError as error:
                if str(error.status) in _NOT_SHOWN:
                    return None
                raise
        url = signed["signedUrl"]
        return SignedLink(url, self._link_seconds) if url else None

    async def read_through(self, path: str) -> StoredBytes | None:
        """Reads all bytes of an object, and keeps none; None when it is gone."""
        return await repeated(lambda: self._read_through(path), self._retry_seconds)

    async def _read_through(self, path: str) -> StoredBytes | None:
        digest, size = hashlib.sha256(), 0
        with _storage_errors_translated():
            async with self._connection.as_service().object_stream(_BUCKET, path) as response:
                if response.is_error:
                    _raise_unless_gone(response.status_code, await response.aread())
                    return None
                async for piece in response.aiter_bytes():
                    digest.update(piece)
                    size += len(piece)
        return StoredBytes(digest.hexdigest(), size)

    async def _upload(self, content: Path, file: ExportFile) -> bool:
        """False when an object lies at the path already."""
        bucket = self._connection.as_service().storage().from_(_BUCKET)
        with _storage_errors_translated():
            try:
                await bucket.upload(
                    file.path,
                    content,
                    {"content-type": file.content_type, "metadata": {"sha256": file.sha256}},
                )
            except StorageApiError as error:
                if str(error.status) == _EXISTS:
                    return False
                raise
        return True

    async def _compare(self, file: ExportFile) -> None:
        bucket = self._connection.as_service().storage().from_(_BUCKET)
        with _storage_errors_translated():
            stored = _StoredObject.model_validate(await bucket.info(file.path))
        same_hash = stored.metadata is not None and stored.metadata.sha256 == file.sha256
        if stored.size != file.size or not same_hash:
            raise Refused("file_conflict", cause="the stored object has another size or hash")


@contextmanager
def _storage_errors_translated() -> Iterator[None]:
    try:
        yield
    except StorageApiError as error:
        raise storage_error(error) from error
    except (httpx.HTTPError, StorageException, ValueError) as error:
        # ValueError: an answer that is not the storage's JSON.
        raise Unavailable(
            "storage_unavailable", cause=type(error).__name__, passes_soon=connection_broke(error)
        ) from error


def _raise_unless_gone(status: int, answer: bytes) -> None:
    """The real status is in the body."""
    try:
        told = _StorageAnswer.model_validate_json(answer)
    except ValidationError:
        told = _StorageAnswer(statusCode=str(status))
    if told.status_code != _GONE:
        raise storage_error(StorageApiError(told.error, told.error, told.status_code))


def storage_error(error: StorageApiError) -> EngineError:
    """The one translation of what the storage API says to the service."""
    status = str(error.status)
    if status == "413":
        return Refused("file_too_large")
    if status in _SET_UP_WRONG:
        return Refused("service_misconfigured", cause=f"storage status {status}")
    if status == "400":
        return Defect(f"storage refused the request: {error.code}")
    return Unavailable(
        "storage_unavailable",
        cause=f"storage status {status}",
        passes_soon=status in _SOON_OVER,
    )
