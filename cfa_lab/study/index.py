"""Where the run of a key lies: one small file a run, so that nobody ever searches folders.

`<root>/.runs/<run_key>` holds the path of the run's folder below `root`. It is only a hint: what a
run is worth is read from its folder, and the hints can be made again from the folders.
"""

import logging
import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cfa_lab.config import Config
from cfa_lab.files import STALE_SECONDS, remove_partials, write_atomically
from cfa_lab.records import names
from cfa_lab.records.folders import is_complete, is_original, run_folders
from cfa_lab.records.record import record_of
from cfa_lab.texts import read_text

log = logging.getLogger(__name__)

HINTS = ".runs"
SHARED = "multirun"
"""A folder of this name holds studies that reuse each other's runs."""
MOST_BYTES_OF_A_HINT = 10_000
_DATE, _TIME = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d\d-\d\d-\d\d(-\d+)?")


def dated_root(folder: Path) -> Path | None:
    """The folder above the date and time that end a path; None where they do not."""
    dated = _TIME.fullmatch(folder.name) and _DATE.fullmatch(folder.parent.name)
    return folder.parent.parent if dated else None


def study_root(folder: Path) -> Path:
    """The folder whose runs the study in `folder` may reuse: above a date and time that end its
    path, else the nearest one called `multirun`, else the study's own."""
    named = (path for path in (folder, *folder.parents) if path.name == SHARED)
    return dated_root(folder) or next(named, folder)


class RunIndex:
    """The runs below `root`; complete ones are found below `others`, too.

    Runs are put into `root` and unfinished ones taken over from there; `others` is only read. Where
    a hint leads nowhere, as after a study was renamed, the folders are searched, once.
    """

    def __init__(self, root: Path, *, others: Sequence[Path] = ()):
        self.root = root
        self.roots = [root, *(other for other in others if other != root)]
        self._found: dict[Path, dict[str, Path]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is no run to be found at all."""
        return not any(_keys(root) or self._found.get(root) for root in self.roots)

    def add(self, run_key: str, folder: Path) -> None:
        """Remember where the run of a key lies; the last one counts."""
        _write_hint(self.root, run_key, folder)

    def complete(self, run_key: str) -> tuple[Path, dict[str, Any]] | None:
        """Folder and record of a complete run of this key."""
        for root in self.roots:
            hinted = _folder(root, run_key)
            found = hinted and _complete(hinted, run_key)
            if hinted and not found and _is_lost(hinted, run_key):
                found = self._searched(root, run_key)
            elif not found and (known := self._found.get(root, {}).get(run_key)):
                found = _complete(known, run_key)
            if found:
                return found
        return None

    def begun(self, run_key: str) -> Path | None:
        """The folder in which a run of this key began, finished or not."""
        return _folder(self.root, run_key)

    @contextmanager
    def held(self, run_key: str) -> Generator[None]:
        """Keep other processes from the run of this key; waits while one of them is at it."""
        path = self.root / HINTS / f"{run_key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is at this very run; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def rebuild(self, study: Path | None = None) -> None:
        """Make the hints to complete runs again where there are none, and those to a study's own.

        A study that was moved here has none.
        """
        for root in self.roots:
            remove_partials(root / HINTS, older_than=STALE_SECONDS)
            if root.is_dir() and not _keys(root):
                self._search(root, root)
        if study is not None and study.is_dir() and self.root not in self._found:
            self._search(self.root, study)

    def _searched(self, root: Path, run_key: str) -> tuple[Path, dict[str, Any]] | None:
        """What a search finds of a key whose hint leads nowhere; if nothing, the hint goes."""
        if root not in self._found:
            self._search(root, root)
        found = self._found[root].get(run_key)
        if found is None:
            with suppress(OSError):
                (root / HINTS / run_key).unlink(missing_ok=True)
            return None
        return _complete(found, run_key)

    def _search(self, root: Path, top: Path) -> None:
        """Find the complete runs below `top`, and hint to those of which no hint is good."""
        found = self._found.setdefault(root, {}) if root == top else {}
        for folder in run_folders(top):
            record = record_of(folder)
            key = record.get("run_key")
            if not isinstance(key, str) or not is_original(record):
                continue
            found.setdefault(key, folder)
            hinted = _folder(root, key)
            if hinted is None or not _complete(hinted, key):
                with suppress(
                    OSError
                ):  # a folder that is only read is searched by the next one too
                    _write_hint(root, key, folder)


def reusable(
    config: Config, run_key: str, index: RunIndex, folder: Path | None = None
) -> tuple[Path, dict[str, Any]] | None:
    """The complete run that can stand for this one: its key is the same, and it left what is asked.

    First of all the one in the job's own `folder`. Maps are files that decide no number, so they
    are not part of the key.
    """
    candidates = [index.complete(run_key)]
    if folder is not None and is_complete(folder, run_key):
        candidates.insert(0, (folder, record_of(folder)))
    for found in candidates:
        if found and (not config.evaluation.maps or (found[0] / names.MAPS).is_dir()):
            return found
    return None


def _write_hint(root: Path, run_key: str, folder: Path) -> None:
    hint = root / HINTS / run_key
    hint.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(hint, Path(os.path.relpath(folder, root)).as_posix() + "\n")


def _complete(folder: Path, run_key: str) -> tuple[Path, dict[str, Any]] | None:
    record = record_of(folder)
    complete = record.get("status") == "complete" and record.get("run_key") == run_key
    return (folder, record) if complete else None


def _is_lost(folder: Path, run_key: str) -> bool:
    """Whether a hint leads nowhere, or to another run that stands there now."""
    return not folder.is_dir() or record_of(folder).get("run_key", run_key) != run_key


def _keys(root: Path) -> list[str]:
    try:
        return [path.name for path in (root / HINTS).iterdir() if "." not in path.name]
    except OSError:
        return []


def _folder(root: Path, run_key: str) -> Path | None:
    try:
        folder = root / read_text(root / HINTS / run_key, most=MOST_BYTES_OF_A_HINT).strip()
    except (OSError, ValueError):
        return None
    return Path(os.path.normpath(folder))
