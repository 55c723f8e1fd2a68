"""Compiled functions are a help on disk: damaged, full or nowhere, they are compiled anew."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core import config

from cfa_lab import kernel_cache
from cfa_lab.kernel_cache import kept_on_disk


def add_one(x: int) -> int:
    return x + 1


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A function from nothing to what a new process would call."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel_cache, "_told", set())
    return lambda: kept_on_disk(numba.njit(add_one), add_one)


def files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.rglob(f"*.{kind}"))


def test_what_one_process_compiled_the_next_one_loads(fresh: Callable[[], Any], tmp_path: Path):
    first, second = fresh(), fresh()
    assert first(1) == 2 and first.stats.cache_misses
    assert second(2) == 3 and second.stats.cache_hits
    assert files(tmp_path, "nbi") and files(tmp_path, "nbc")


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"junk" + content,
        lambda content: content[:-40] + bytes([content[-40] ^ 1]) + content[-39:],
    ],
    ids=["empty", "half", "junk", "one bit"],
)
def test_damaged_files_are_made_again(
    fresh: Callable[[], Any], tmp_path: Path, capsys, kind: str, damage: Callable[[bytes], bytes]
):
    assert fresh()(1) == 2
    (path,) = files(tmp_path, kind)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again = fresh()
    assert again(1) == 2 and not again.stats.cache_hits
    later = fresh()
    assert later(1) == 2 and later.stats.cache_hits, "kept again"
    assert not capsys.readouterr().err


def test_a_full_disk_is_said_once_and_the_function_works(
    fresh: Callable[[], Any], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", refuse)
    assert fresh()(1) == 2 and fresh()(3) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "kept (No space left on device); each process compiles them anew" in line
    assert not list(tmp_path.rglob("*.tmp.*"))


def test_no_place_at_all_is_said_once_and_the_function_works(
    fresh: Callable[[], Any], capsys, monkeypatch: pytest.MonkeyPatch
):
    def nowhere(*_: object) -> None:
        raise RuntimeError("cannot cache function 'add_one': no locator available for file")

    monkeypatch.setattr(kernel_cache.FunctionCache, "__init__", nowhere)
    assert fresh()(1) == 2 and fresh()(3) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "NUMBA_CACHE_DIR" in line and "locator" not in line
