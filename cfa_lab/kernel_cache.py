"""Compiled functions kept on disk by numba, and done without where the disk does not serve.

A kept function is a help only: where its files are damaged, cannot be written or have no place,
the function is compiled in this process. numba itself ends in a traceback then, and runs whatever
machine code a damaged file holds; so each file carries a checksum.
"""

import hashlib
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

_DIGEST_BYTES = hashlib.sha256().digest_size
_told: set[str] = set()


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function for these types of arguments, to numbers of the order it is written in.

    It holds no lock while it runs. It should call nothing from another file, whose changes numba
    does not see.
    """
    return kept_on_disk(numba.njit(nogil=True)(function), function)


def kept_on_disk(dispatcher: Any, function: Callable[..., Any]) -> Any:
    """The same dispatcher, which loads what an earlier process compiled and keeps what it compiles.

    Where there is no place to keep it, this is said once, and nothing is kept.
    """
    try:
        dispatcher._cache = _Kept(function)
    except (RuntimeError, OSError) as error:  # numba's word for a place that cannot be written
        _tell(error if isinstance(error, OSError) else None)
    return dispatcher


class _CheckedFiles(IndexDataCacheFile):
    """numba's files, each with the checksum of what follows it."""

    def _dump(self, obj: Any) -> bytes:
        data = super()._dump(obj)
        return hashlib.sha256(data).digest() + data

    def _load_index(self) -> Any:
        try:
            with Path(self._index_path).open("rb") as file:
                version, data = pickle.load(file), file.read()
        except FileNotFoundError:
            return {}
        if version != self._version:
            return {}
        stamp, overloads = pickle.loads(_whole(data))
        return overloads if stamp == self._source_stamp else {}

    def _load_data(self, name: str) -> Any:
        return pickle.loads(_whole(Path(self._data_path(name)).read_bytes()))


class _Kept(FunctionCache):
    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        self._cache_file = _CheckedFiles(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged pickle raises anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _tell(error if isinstance(error, OSError) else None)


def _whole(data: bytes) -> bytes:
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("the checksum is another one")
    return content


def _tell(error: OSError | None) -> None:
    reason = f" ({error.strerror})" if error is not None and error.strerror else ""
    text = (
        f"compiled kernels cannot be kept{reason}; each process compiles them anew, unless "
        "NUMBA_CACHE_DIR names a folder that takes them"
    )
    if text not in _told:
        _told.add(text)
        print(text, file=sys.stderr)  # which Rich shows above its live line
