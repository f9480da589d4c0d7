"""The export file while it is made: on disk, so that memory stays flat, and hashed on the way."""

import hashlib
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self


class HashedFile:
    """A temporary file with a name (the storage client takes a path); gone when the block ends."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="export-")  # noqa: SIM115  # __exit__ closes
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, piece: bytes) -> None:
        """Pieces are appended in the order of the calls; one at a time."""
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def finished(self) -> Path:
        """The path, with everything written."""
        self._file.flush()
        return Path(self._file.name)

    @property
    def sha256(self) -> str:
        """Hexadecimal, of everything appended so far."""
        return self._hash.hexdigest()
