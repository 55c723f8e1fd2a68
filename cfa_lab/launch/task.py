"""A job as launchers see it: a call to make elsewhere, and what came of it."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """One job."""

    name: str
    """What lines call it."""
    folder: Path
    """Where its run goes."""
    identity: str
    """Equal for jobs that do the same, whichever command asks for them."""
    call: bytes
    """What `perform` does in another process."""


class LostJob(Exception):
    """The job's process is gone and left no outcome; the message says what is known."""


@dataclass(frozen=True, kw_only=True)
class End:
    """What came of a job: a value, or what went wrong."""

    value: Any = None
    error: Exception | None = None

    @property
    def is_good(self) -> bool:
        """Whether it did what it was to do; jobs may report their failures as a status."""
        return self.error is None and getattr(self.value, "status", None) != "failed"


def packed(function: Callable[..., Any], *arguments: Any) -> bytes:
    """A call as bytes; the function has to be one that another process can import."""
    return pickle.dumps((function, arguments))


def perform(call: bytes) -> bytes:
    """Make a packed call; returns its end as bytes. KeyboardInterrupt goes through."""
    try:
        function, arguments = pickle.loads(call)
        end = End(value=function(*arguments))
    except Exception as error:
        end = End(error=error)
    try:
        return pickle.dumps(end)
    except Exception as error:
        told = end.error or TypeError(f"what it returned cannot leave its process ({error})")
        return pickle.dumps(End(error=RuntimeError(f"{type(told).__name__}: {told}")))


def unpacked(end: bytes) -> End:
    """The end of a job that `perform` made into bytes, in another process."""
    try:
        return pickle.loads(end)
    except Exception as error:  # of a class that only its own process had
        return End(error=RuntimeError(f"its outcome cannot be read here ({error})"))
