"""Faults other than kills: full disks, files that go, damage, hostile input, a W&B that fails.

After each, the same command ends with the bytes of an undisturbed run, and whatever was refused was
refused in words: nobody sees a traceback.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.archives import FILES, tarred, zipped
from helpers.broken import BROKEN
from helpers.fake_wandb import API_KEY, fake_wandb
from helpers.forked import SEEDS, ended, forked, results, said
from helpers.odd_records import damaged as odd_records

from cfa_lab.data.toy.layouts import write_toy_layout

if TYPE_CHECKING:
    from inject import Injector

SERVER = ("absent", "500", "429", "401", "hang", "close", "reset", "junk")
"""How the stand-in for W&B's server fails: it is not there, or from some moment on."""


def full_disk(injector: "Injector", here: Path, number: int) -> None:
    """A run on a disk that is too small, which then gets room."""
    disk = here / "disk"
    disk.mkdir()
    whole = sum(p.stat().st_size for p in (injector.place / "whole0").rglob("*") if p.is_file())
    size = int(whole * injector.chance.uniform(0.02, 1.0)) + 4096
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        injector.skip("full_disk", "no small file system can be mounted here")
        return
    try:
        features = f"features.folder={disk / 'own'}" if number % 2 else injector.features
        again = [*injector.settings, features, "seed=0", f"hydra.run.dir={disk / 'run'}"]
        code = ended(forked(again, here))
        if code and not _refused(injector, here, "full", "make room", "No space left"):
            return
        subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
        injector.again(here, [disk / "run"], [0], lambda: injector.next(disk / "run", again))
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def eight_processes(injector: "Injector", here: Path, number: int) -> None:
    """Eight runs that begin at once and fill one feature store."""
    seeds = [SEEDS[i % len(SEEDS)] for i in range(8)]
    runs = [here / f"run{i}" for i in range(8)]
    features = f"features.folder={here / 'own'}"
    children = [
        forked([*injector.settings, features, f"seed={seed}", f"hydra.run.dir={run}"], here)
        for seed, run in zip(seeds, runs, strict=True)
    ]
    codes = [ended(child) for child in children]
    found = [results(run) for run in runs]
    lost = any(codes) or None in found
    different = not lost and found != [injector.whole[seed] for seed in seeds]
    told = f"{here}: {codes} {said(here)[-800:]}" if lost or different else ""
    injector.count(told, lost=lost, different=different)


def gone(injector: "Injector", here: Path, number: int) -> None:
    """The run's folder, the features or the data go while a run is at it."""
    data = shutil.copytree(injector.place / "data", here / "data")
    settings = [*injector.settings[:-1], f"dataset.root={data}", f"features.folder={here / 'own'}"]
    again = [*settings, "seed=0", injector.at(here)]
    child = forked(again, here)
    time.sleep(injector.chance.random() * injector.seconds)
    what = here / ("run", "own", "data")[number % 3]
    shutil.rmtree(what, ignore_errors=True)
    code = ended(child)
    if code and not _refused(injector, here):
        return
    shutil.copytree(injector.place / "data", data, dirs_exist_ok=True)
    if not code and what.name == "run":
        shutil.rmtree(what, ignore_errors=True)  # it had ended: who deletes a run has no run
    injector.again(here, [here / "run"], [0], lambda: injector.next(here / "run", again))


def damaged_store(injector: "Injector", here: Path, number: int) -> None:
    """A run from a feature store one entry of which is not what it was."""
    own = shutil.copytree(injector.place / "features", here / "own")
    entries = sorted(own.glob("*/*.safetensors"))
    path, other = injector.chance.sample(entries, 2)
    content = bytearray(path.read_bytes())
    at = injector.chance.randrange(len(content))
    kind = number % 4
    if kind == 0:
        content[at] ^= 1 << injector.chance.randrange(8)
        path.write_bytes(content)
    elif kind == 1:
        path.write_bytes(content[:at])
    elif kind == 2:
        path.write_bytes(other.read_bytes())
    else:
        path.write_bytes(b"")
    again = [*injector.settings, f"features.folder={own}", "seed=0", injector.at(here)]
    if ended(forked(again, here)):
        injector.count(f"{here}: {said(here)[-800:]}", lost=True)
        return
    injector.again(here, [here / "run"], [0], lambda: again)


def hostile_data(injector: "Injector", here: Path, number: int) -> None:
    """A data set that is broken in one of many ways: images, masks, index files."""
    case = injector.chance.choice([case for case in BROKEN if case.run in ("refused", "fails")])
    root = here / "data"
    write_toy_layout(case.layout, root, "toy", size=48)
    case.damage(root)
    category = case.layout if case.layout in ("kolektor", "kolektor2", "magnetic_tile") else "toy"
    others = [s for s in injector.settings if not s.startswith(("dataset", "category"))]
    own = [f"dataset={case.layout}", f"dataset.root={root}", f"category={category}"]
    code = ended(forked([*others, *own, injector.features, injector.at(here)], here))
    if code != 1:
        injector.count(f"{here}: {case} ended in {code}: {said(here)[-400:]}", lost=True)
    elif _refused(injector, here, case.in_run or case.line):
        injector.count("")


def hostile_archive(injector: "Injector", here: Path, number: int) -> None:
    """An archive that is torn, or wants to write elsewhere."""
    make, name = ((zipped, "a.zip"), (tarred, "a.tar.gz"), (tarred, "a.tar.xz"))[number % 3]
    outside = injector.chance.choice(["../evil", "/tmp/cfa_lab-evil", "set/../../evil"])
    torn = injector.chance.random() < 0.5
    archive = make(here / name, FILES if torn else {**FILES, outside: b"evil"})
    if torn:
        content = archive.read_bytes()
        archive.write_bytes(content[: injector.chance.randrange(len(content))])
    code = ended(forked(["doctor", "--unpack", str(archive), "--to", str(here / "out")], here))
    left = [*here.glob(".out*"), *here.glob("out"), *here.glob("evil"), *here.parent.glob("evil")]
    if code != 1 or left or Path("/tmp/cfa_lab-evil").exists():
        injector.count(f"{here}: ended in {code}, left {left}: {said(here)[-400:]}", lost=True)
    elif _refused(injector, here, str(archive)):
        injector.count("")


def hostile_folders(injector: "Injector", here: Path, number: int) -> None:
    """A study and a report beside folders whose records are damaged or another's."""
    study = here / "multirun"
    record = json.loads((injector.place / "whole0" / "run" / "metrics.json").read_text())
    odd = injector.chance.sample(list(odd_records(record)), 12)
    for i, changed in enumerate(odd):
        (study / f"odd{i}" / ".hydra").mkdir(parents=True)
        (study / f"odd{i}" / "metrics.json").write_text(json.dumps(changed))
        (study / f"odd{i}" / ".hydra" / "overrides.yaml").write_bytes(b"\xff\x00- [")
    (study / ".runs").mkdir()
    (study / ".runs" / "0123456789abcdef").write_bytes(b"\xff\x00")
    (study / ".runs" / "fedcba9876543210").mkdir()
    (study / "odd0" / "history.csv").mkdir()
    again = ["-m", *injector.settings, injector.features, "seed=0", "hydra.sweep.dir=multirun/new"]
    codes = [ended(forked(again, here))]
    codes.append(ended(forked(["report", "multirun", "--output", "report"], here)))
    resumed = ended(forked([f"resume={study / 'odd1'}"], here))
    if any(codes) or resumed != 1 or not (here / "report" / "report.html").is_file():
        injector.count(f"{here}: {codes}, {resumed}: {said(here)[-800:]}", lost=True)
        return
    if _refused(injector, here):
        run = study / "new" / "0-resnet18-square-s0"
        injector.again(here, [run], [0], lambda: again)


def failing_wandb(injector: "Injector", here: Path, number: int) -> None:
    """A run whose W&B server is absent, or fails from some moment on."""
    fault = SERVER[number % len(SERVER)]
    settings = [s for s in injector.settings if s != "tracker=none"]
    settings += ["tracker=wandb", injector.features, "seed=0", injector.at(here)]
    with fake_wandb() as server:
        url = "http://127.0.0.1:9" if fault == "absent" else server.url
        child = subprocess.Popen(
            [sys.executable, "-m", "cfa_lab", *settings],
            cwd=here,
            env=_without_account(here / "home") | {"WANDB_BASE_URL": url, "WANDB_API_KEY": API_KEY},
            stdout=(here / "said.txt").open("w"),
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 60
        while fault != "absent" and not server.runs and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(injector.chance.random())
        server.fault = "" if fault == "absent" else fault
        code = child.wait(timeout=200)
    if code:
        injector.count(f"{here}: {fault} ended in {code}: {said(here)[-800:]}", lost=True)
    elif _refused(injector, here):
        injector.again(here, [here / "run"], [0], lambda: settings)


def _without_account(home: Path) -> dict[str, str]:
    """The environment of somebody who has never logged in."""
    home.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    return kept | {"HOME": str(home)}


def _refused(injector: "Injector", here: Path, *words: str) -> bool:
    """Whether what was said is no traceback and has one of the words; counts it as lost if not."""
    text = said(here)
    fine = "Traceback" not in text and (not words or any(word in text for word in words))
    if not fine:
        injector.count(f"{here}: {text[-1500:]}", lost=True)
    return fine


KINDS: dict[str, Callable[["Injector", Path, int], Any]] = {
    "full_disk": full_disk,
    "eight_processes": eight_processes,
    "gone": gone,
    "damaged_store": damaged_store,
    "hostile_data": hostile_data,
    "hostile_archive": hostile_archive,
    "hostile_folders": hostile_folders,
    "failing_wandb": failing_wandb,
}
"""Name -> what injects it once: the injector, a new folder, and which one it is."""
