"""Unpacking a downloaded archive: its hash is compared, and nothing in it leaves the folder."""

import hashlib
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Protocol

from cfa_lab.doctor.sources import SOURCES, Source
from cfa_lab.errors import UserError
from cfa_lab.files import draft_of

CHUNK = 2**20


@dataclass(frozen=True)
class Entry:
    """One member of an archive: a folder, or a file of `num_bytes`."""

    name: str
    is_folder: bool
    num_bytes: int


class Opened(Protocol):
    """An archive of any format."""

    def entries(self) -> list[Entry]: ...

    def open(self, entry: Entry) -> IO[bytes]: ...


def identify(archive: Path) -> tuple[Source | None, str]:
    """The data set that an archive is, by its hash, and a sentence on how sure that is.

    Raises `UserError` where the archive has the name of a known one and another hash.
    """
    digests = _digests(archive, {source.algorithm for source in SOURCES})
    for source in SOURCES:
        digest = digests[source.algorithm]
        if source.fits(digest):
            known, total = source.num_known_digits, len(digest)
            part = "all" if known == total else f"the {known} known of {total}"
            return source, f"{source.algorithm} {digest} is that of {source.title} ({part} digits)"
        if source.archive == archive.name and source.hash_ends is not None:
            first, last = source.hash_ends
            raise UserError(
                f"{archive} has the {source.algorithm} {digest}, but {source.title} has "
                f"{first}...{last}; the download is damaged or another version, get it again"
            )
    return None, f"sha256 {digests['sha256']} is of no archive known here: not verified"


def unpack(archive: Path, target: Path) -> int:
    """Unpack a tar or zip archive into the new folder `target`, whole or not at all.

    Returns the number of files. Raises `UserError` for a damaged archive, links and devices in it,
    names that leave the folder, too little room, and a target that is there.
    """
    if target.exists():
        raise UserError(f"{target} is there already; name a new folder with --to")
    try:
        with _opened(archive) as opened, draft_of(target) as draft:
            entries = opened.entries()
            _check_room(sum(entry.num_bytes for entry in entries), draft)
            for entry in entries:
                path = draft / _inside(entry.name, archive)
                if entry.is_folder:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as source, path.open("xb") as copy:
                    shutil.copyfileobj(source, copy, CHUNK)
            draft.rename(target)
    # decompressors have exceptions of their own, zlib.error and lzma.LZMAError among them
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"cannot unpack {archive}: {error}; get the archive again") from error
    return sum(not entry.is_folder for entry in entries)


def _digests(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                for digest in digests.values():
                    digest.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read archive {path}: {error.strerror}; check its path") from error
    return {name: digest.hexdigest() for name, digest in digests.items()}


@contextmanager
def _opened(archive: Path) -> Generator[Opened]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield _Zip(file, archive)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as file:
            yield _Tar(file, archive)
    else:
        raise UserError(f"{archive} is no tar or zip archive; get it again")


@dataclass(frozen=True)
class _Zip:
    file: zipfile.ZipFile
    archive: Path

    def entries(self) -> list[Entry]:
        for info in self.file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _no_file(info.filename, self.archive)
        return [Entry(i.filename, i.is_dir(), i.file_size) for i in self.file.infolist()]

    def open(self, entry: Entry) -> IO[bytes]:
        return self.file.open(entry.name)


@dataclass(frozen=True)
class _Tar:
    file: tarfile.TarFile
    archive: Path

    def entries(self) -> list[Entry]:
        for member in self.file:
            if not (member.isfile() or member.isdir()):
                raise _no_file(member.name, self.archive)
        return [Entry(m.name, m.isdir(), m.size) for m in self.file.getmembers()]

    def open(self, entry: Entry) -> IO[bytes]:
        file = self.file.extractfile(entry.name)
        assert file is not None
        return file


def _no_file(name: str, archive: Path) -> UserError:
    return UserError(
        f"{archive} holds {name!r}, a link or device; no data set needs one, so it is not unpacked"
    )


def _inside(name: str, archive: Path) -> PurePosixPath:
    """An entry's path; raises `UserError` for one that is absolute or climbs out."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\0" in name:
        raise UserError(
            f"{archive} holds {name!r}, a path that leaves the folder; it is not unpacked"
        )
    return path


def _check_room(num_bytes: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise UserError(
            f"the archive unpacks to {num_bytes / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
            "make room or name another disk with --to"
        )
