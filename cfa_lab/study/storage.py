"""Where Optuna keeps the trials of a search: its journal, with no half line, or a database."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from cfa_lab.errors import UserError


def open_storage(storage: str | None, journal: Path) -> BaseStorage:
    """A database by its URL, or a file of Optuna's journal: `journal` where none is named."""
    if storage and "://" in storage:
        options = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
        return RDBStorage(storage, engine_kwargs=options)
    path = Path(storage).expanduser() if storage else journal
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_Whole(path)))


class _Whole(JournalFileOpenLock):
    """The lock on a journal: ends with its process, and leaves no half line to the next one."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self._path, self._lock = path, FileLock(f"{path}.filelock")

    def acquire(self) -> bool:
        self._lock.acquire()
        if self._path.is_file():
            drop_half_line(self._path)
        return True

    def release(self) -> None:
        self._lock.release()


def drop_half_line(path: Path) -> None:
    """Cut what a killed process or a full disk left of the last line of a file."""
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


@contextmanager
def told_of(place: str) -> Generator[None]:
    """What Optuna and its database raise for a storage, in one line."""
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise UserError(
            f"hydra.sweeper.storage: {place} cannot be read ({type(error).__name__}: {first}); "
            "move it away to begin anew: finished runs are reused"
        ) from error
