"""wandb's own log of a run, `run-ID.wandb`: records one after another in LevelDB's log format.

wandb 0.31 reads such files in its helper only, which stops at the first torn record.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

IDENTITY = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
BLOCK = 32768
HEAD = struct.Struct("<IHB")
"""Of a chunk: checksum, length, kind."""
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def read_log(path: Path) -> Iterator[Any]:
    """The records of a log, up to the first that is torn; none where it is no log of wandb."""
    content = path.read_bytes()
    if content[: len(IDENTITY)] != IDENTITY:
        return
    for data in _chunks(content):
        record = messages().Record()
        try:
            record.ParseFromString(data)
        except Exception:  # a record of another version, whose sense nobody knows here
            return
        yield record


def messages() -> Any:
    """wandb's kinds of records; their classes are made as the module is imported."""
    return import_module("wandb.proto.wandb_internal_pb2")


def write_log(path: Path, records: Iterable[Any]) -> None:
    """Write records, numbered anew, as a log that wandb reads."""
    content = bytearray(IDENTITY)
    for number, record in enumerate(records, 1):
        record.num = number
        _append(content, record.SerializeToString())
    path.write_bytes(content)


def _chunks(content: bytes) -> Iterator[bytes]:
    """The data of each whole record."""
    place, data = len(IDENTITY), bytearray()
    while place + HEAD.size <= len(content):
        if (left := BLOCK - place % BLOCK) < HEAD.size:
            place += left
            continue
        checksum, length, kind = HEAD.unpack_from(content, place)
        chunk = content[place + HEAD.size : place + HEAD.size + length]
        if len(chunk) < length or kind not in (FULL, FIRST, MIDDLE, LAST):
            return
        if zlib.crc32(chunk, zlib.crc32(bytes([kind]))) != checksum:
            return
        place += HEAD.size + length
        data += chunk
        if kind in (FULL, LAST):
            yield bytes(data)
            data.clear()


def _append(content: bytearray, data: bytes) -> None:
    begun = False
    while True:
        if (left := BLOCK - len(content) % BLOCK) < HEAD.size:
            content += bytes(left)
            left = BLOCK
        chunk, data = data[: left - HEAD.size], data[left - HEAD.size :]
        kind = (LAST if begun else FULL) if not data else (MIDDLE if begun else FIRST)
        checksum = zlib.crc32(chunk, zlib.crc32(bytes([kind])))
        content += HEAD.pack(checksum, len(chunk), kind) + chunk
        begun = True
        if not data:
            return
