"""A run that is stopped ends its W&B run, too: nothing that it had told is lost."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.tiny import TINY_RUN

from cfa_lab.tracking.log_file import read_log


@pytest.mark.slow
@pytest.mark.usefixtures("pristine_wandb")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_in_finish(tmp_path: Path, tiny_root: Path, sent: signal.Signals):
    settings = [
        setting for setting in TINY_RUN if not setting.startswith(("tracker", "trainer.ep"))
    ]
    settings += [f"dataset.root={tiny_root}", "tracker=wandb", "tracker.mode=offline"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cfa_lab", *settings, "trainer.epochs=4000", "hydra.run.dir=run"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # a background shell lets its children ignore the signal, and they inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    history, deadline = tmp_path / "run" / "history.csv", time.monotonic() + 200
    while not (history.is_file() and history.stat().st_size > 2000):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(sent)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    (log,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    records = list(read_log(log))
    (end,) = (record.exit for record in records if record.HasField("exit"))
    assert end.exit_code == 1
    told = [record for record in records if record.HasField("history")]
    names = [{*item.nested_key, item.key} for r in told for item in r.history.item]
    steps = [name for name in names if "train/loss" in name]
    with history.open(newline="") as file:
        assert len(steps) == len(list(csv.DictReader(file))), "wandb writes every few seconds only"
