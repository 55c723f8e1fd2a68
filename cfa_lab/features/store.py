"""The feature store: what the frozen backbone made of an image, kept for all runs and processes.

An entry is found by what it was made from: a hash of the image file's bytes and a hash of all else
that decides its bits. So nothing is ever out of date; entries only become unused.
"""

import errno
import hashlib
import json
import logging
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from cfa_lab.errors import UserError
from cfa_lab.features.entry import (
    ENTRY_SCHEMA,
    DamagedEntry,
    ImageFeatures,
    encode,
    read_entry,
)
from cfa_lab.features.folder import GIGABYTE, entry_path, trim
from cfa_lab.files import replacing

log = logging.getLogger(__name__)

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""What a place answers that may be read and not written."""

ALLOWANCE_BYTES = 256 * 2**20
"""A process writes so much before it looks again at what others have added."""


class FeatureStore:
    """Features on disk below `folder`, at most `max_gb` (10^9 bytes) of them.

    Safe to share among processes: entries are written whole or not at all and checked at every
    read. The least recently used go first when room is needed, never those this object was asked
    for. `full` tells that these alone fill it; nothing more is kept then.
    """

    def __init__(self, folder: Path, max_gb: float):
        self.folder = folder.expanduser().absolute()
        self.max_bytes = max_gb * GIGABYTE
        self.full = False
        self._in_use: set[Path] = set()
        self._allowance = 0.0

    def shelf(self, identity: Mapping[str, Any]) -> "Shelf":
        """The part of the store for features made in one way, which `identity` tells in full."""
        return Shelf(self, identity)

    def make_room(self, num_bytes: int) -> bool:
        """Whether so much may be written, after eviction where that helps."""
        if self._allowance < num_bytes and not self.full:
            step = max(num_bytes, min(ALLOWANCE_BYTES, self.max_bytes / 8))
            taken = trim(self.folder, self.max_bytes - step, keep=self._in_use)
            self._allowance = min(self.max_bytes - taken, step)
            if self._allowance < num_bytes:
                self.full = True
                log.warning(
                    "features.max_gb=%g is filled by this run's own features; "
                    "the others are made anew whenever they are needed",
                    self.max_bytes / GIGABYTE,
                )
        if self.full:
            return False
        self._allowance -= num_bytes
        return True

    def claim(self, path: Path) -> bool:
        """Mark an entry as in use from now on; returns whether it is there."""
        self._in_use.add(path)
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        except OSError as error:  # another user's entry, or a store that cannot be written
            if error.errno not in READ_ONLY:
                raise
        return True

    def is_read_only(self, error: OSError) -> bool:
        """Whether an error says that a store which is there takes nothing new; said once."""
        if error.errno not in READ_ONLY or not self.folder.is_dir():
            return False
        if not self.full:
            self.full = True
            log.warning(
                "the features in %s cannot be added to (%s); those that it lacks are made anew "
                "whenever they are needed",
                *(self.folder, error.strerror),
            )
        return True


class Shelf:
    """One kind of features in the store; entries are named by the hash of their image."""

    def __init__(self, store: FeatureStore, identity: Mapping[str, Any]):
        self.store = store
        self.identity = identity
        text = json.dumps({"entry": ENTRY_SCHEMA, **identity}, sort_keys=True)
        self.kind = hashlib.sha256(text.encode()).hexdigest()[:16]

    def claim(self, image: str) -> bool:
        """Keep an image's features from eviction; returns whether they are there."""
        with self._disk():
            return self.store.claim(self._path(image))

    def read(self, image: str) -> ImageFeatures | None:
        """An image's features, mapped into memory; None if absent or damaged (then removed)."""
        path = self._path(image)
        with self._disk():
            try:
                return read_entry(path, of=self._of(image))
            except FileNotFoundError:
                return None
            except DamagedEntry as error:
                log.warning("stored features %s are damaged (%s); making them again", path, error)
                with self._unless_read_only():
                    path.unlink(missing_ok=True)
                return None

    def write(self, image: str, features: ImageFeatures) -> None:
        """Keep an image's features if there is room; raises UserError where the disk refuses."""
        if self.store.full:
            return
        path = self._path(image)
        content = encode(features, of=self._of(image), identity=self.identity)
        with self._disk(), self._unless_read_only():
            if self.store.make_room(len(content)):
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path, durable=False) as partial:  # it has a checksum
                    partial.write_bytes(content)

    @contextmanager
    def lock(self, image: str) -> Generator[None]:
        """Hold off other processes that want to make the features of this image.

        Images share 256 locks, which is harmless as long as nobody holds two of them.
        """
        folder = self.store.folder / "locks"
        lock = FileLock(folder / f"{image[:2]}.lock")
        with self._disk(), self._unless_read_only():
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _of(self, image: str) -> str:
        """What an entry's checksum takes in, so that it is never taken for another's."""
        return f"{self.kind}/{image}"

    def _path(self, image: str) -> Path:
        return entry_path(self.store.folder, self.kind, image)

    @contextmanager
    def _unless_read_only(self) -> Generator[None]:
        """Go on where the store cannot be written; what it holds can be read all the same."""
        try:
            yield
        except OSError as error:
            if not self.store.is_read_only(error):
                raise

    @contextmanager
    def _disk(self) -> Generator[None]:
        """Turn what the disk refuses into a user's error."""
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = "the disk is full" if full else error.strerror or str(error)
            raise UserError(
                f"cannot keep features in {self.store.folder}: {reason}; make room with "
                "`python -m cfa_lab cache --clear`, set features.folder (CFA_LAB_CACHE) to another "
                "place, or use features.cache=false"
            ) from error
