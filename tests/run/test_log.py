import logging
from pathlib import Path

import pytest

from cfa_lab.run.log import kept_log

log = logging.getLogger("cfa_lab.tests")


@pytest.fixture(autouse=True)
def _informs():
    log.setLevel(logging.INFO)


def lines(folder: Path) -> list[str]:
    return [line.split(" ", 2)[2] for line in (folder / "run.log").read_text().splitlines()]


def test_a_log_holds_what_was_said_before_its_folder_was_there(tmp_path: Path):
    folder = tmp_path / "run"
    with kept_log(folder) as begin:
        log.info("before")
        folder.mkdir()
        begin(False)
        log.warning("after")
    log.info("later")
    assert lines(folder) == ["INFO before", "WARNING after"]


def test_a_log_goes_on_or_starts_anew_and_ends_with_the_failure(tmp_path: Path):
    for stays, message in ((False, "first"), (True, "second"), (False, "third")):
        with pytest.raises(OSError, match="gone"), kept_log(tmp_path) as begin:
            begin(stays)
            log.info(message)
            raise OSError("gone")
        if message == "second":
            ended = "ERROR the run ended: gone"
            assert lines(tmp_path) == ["INFO first", ended, "INFO second", ended]
    assert lines(tmp_path) == ["INFO third", "ERROR the run ended: gone"]


def test_nothing_stays_of_a_run_that_never_began(tmp_path: Path):
    handlers = logging.getLogger().handlers[:]
    with pytest.raises(ValueError, match="key"), kept_log(tmp_path / "run"):
        raise ValueError("key")
    assert not (tmp_path / "run").exists()
    assert logging.getLogger().handlers == handlers
