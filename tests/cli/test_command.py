"""The command line as a user meets it: real processes, from other folders, with mistakes."""

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers.tiny import FIGURES, TINY_RUN, write_tiny

from cfa_lab.cli.command import CONFIGURED, PLAN, SUBCOMMANDS

REPOSITORY = Path(__file__).parents[2]


def cfa_lab(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cfa_lab", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | environment,
        timeout=300,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], *parts: str, code: int = 1) -> None:
    """Exit code, one line on stderr after quiet progress lines, nothing on stdout."""
    assert done.returncode == code, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("cfa_lab: ")
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("cfa_lab: ") for line in done.stderr.splitlines()) == 1
    for part in parts:
        assert part in last, last
    assert not done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_help_and_configuration_import_no_heavy_package(tmp_path, arguments):
    script = (
        "import sys, cfa_lab.cli\n"
        f"sys.argv = ['cfa_lab', *{arguments!r}]\n"
        "try:\n    cfa_lab.cli.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'timm', 'wandb', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_run_imports_what_it_uses_and_not_before_it_does(tmp_path, tiny_root):
    """What stays away from a run without a tracker, and from the time to its first image."""
    settings = [*TINY_RUN, FIGURES, f"dataset.root={tiny_root}"]
    script = (
        "import sys, cfa_lab.cli\n"
        "before = None\n"
        "def watch(event, given):\n"
        "    global before\n"
        f"    if event == 'open' and str(given[0]).startswith({str(tiny_root)!r}):\n"
        "        before = before or set(sys.modules)\n"
        "sys.addaudithook(watch)\n"
        f"sys.argv = ['cfa_lab', *{settings!r}, 'hydra.run.dir=run']\n"
        "cfa_lab.cli.main()\n"
        "never = {'wandb', 'torchmetrics', 'pandas', 'sklearn', 'scipy.stats'}\n"
        "late = {'torch._dynamo', 'scipy.ndimage', 'matplotlib', 'rich'}\n"
        "assert 'torch' in before and 'matplotlib' in sys.modules\n"
        "assert not never & set(sys.modules), never & set(sys.modules)\n"
        "assert not late & before, late & before\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_a_reader_who_stops_reading_gets_no_complaint(tmp_path):
    """As in `python -m cfa_lab --help | head`."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "cfa_lab", "--help"]
    done = subprocess.run(
        command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_help_names_groups_options_and_three_commands(tmp_path):
    text = cfa_lab("--help", cwd=tmp_path).stdout
    assert text.count("python -m cfa_lab ") >= 3
    for part in ("wide_resnet50", "efficientnet_lite0", "memory_bank", "official, paper", "mvtec"):
        assert part in text
    (experiments,) = (line for line in text.splitlines() if line.startswith("experiment:"))
    assert {"quickstart", "toy_ablation"} <= set(experiments.replace(",", "").split())
    for word in (PLAN, *SUBCOMMANDS, *CONFIGURED):
        assert f" {word} " in text.partition("Sub-commands")[2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["typo=1"], ["unknown key 'typo'"]),
        (["+typo=1"], ["unknown key 'typo'"]),
        (["backbone=resnet81"], ["resnet81", "resnet18"]),
        (["loss.K=0"], ["loss.K is 0", "at least 1"]),
        (["loss.K=three"], ["loss.K", "three"]),
        (["loss.K="], ["loss.K"]),
        (["train"], ["'train' is neither", "bench"]),
        (["resume=nowhere"], ["nowhere", "no run folder"]),
        (["-m", "resume=nowhere"], ["leave out -m"]),
        (["loss.KK=3"], ["unknown key 'loss.KK'", "did you mean 'loss.K'"]),
        (["loss=null"], ["loss=null", "default"]),
        (["loss.alpha=inf"], ["loss.alpha is inf"]),
        (["seed=99999999999"], ["seed is 99999999999"]),
        (["device=cuda:x"], ["device is 'cuda:x'"]),
        (["category=ünï"], ["data set root"]),  # taken as it is typed
        (["category=all"], ["category=all", "-m"]),
        (["plan", "hydra/sweeper=search"], ["search", "plan"]),
        (["-m", "loss.K=0,1"], ["loss.K is 0"]),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_made(tmp_path, arguments, parts):
    assert_one_line(cfa_lab(*arguments, cwd=tmp_path), *parts)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_about_the_data_are_one_line_and_leave_no_folder(tmp_path, tiny_root):
    here = tmp_path / "here"
    here.mkdir()
    root = f"dataset.root={tiny_root}"
    missing = cfa_lab(*TINY_RUN, f"dataset.root={tmp_path / 'none'}", cwd=here)
    assert_one_line(missing, "No such file", "experiment=quickstart")
    unknown = cfa_lab(*TINY_RUN, root, "category=sqare", cwd=here)
    assert_one_line(unknown, "'sqare'", "did you mean 'square'", "found: square")
    write_tiny(tmp_path / "data" / "empty", num_train=0)
    empty = cfa_lab(*TINY_RUN, f"dataset.root={tmp_path / 'data'}", "category=empty", cwd=here)
    assert_one_line(empty, "training")
    bank = cfa_lab(*TINY_RUN, root, "loss.K=200", "loss.J=100", cwd=here)
    assert_one_line(bank, "200 + 100", "256")
    assert list(here.iterdir()) == []


def test_a_refused_run_leaves_the_users_own_folders_alone(tmp_path, tiny_root):
    mine = tmp_path / "mine"
    (mine / "wandb").mkdir(parents=True)
    (mine / "wandb" / "precious").write_text("keep")
    root = f"dataset.root={tiny_root}"
    done = cfa_lab(*TINY_RUN, root, "category=foo", f"hydra.run.dir={mine}", cwd=tmp_path)
    assert_one_line(done, "'foo'")
    assert (mine / "wandb" / "precious").read_text() == "keep"


def test_a_run_from_another_folder_prints_its_metrics_and_where_they_are(tmp_path, tiny_root):
    done = cfa_lab(*TINY_RUN, FIGURES, f"dataset.root={tiny_root}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("AUROC", "AUPRO@0.05", "run folder  outputs/", "figures/misses.png"):
        assert part in done.stdout
    (metrics,) = tmp_path.glob("outputs/*/*/metrics.json")
    assert (metrics.parent / ".hydra" / "overrides.yaml").is_file()

    again = cfa_lab(*TINY_RUN, f"hydra.run.dir={metrics.parent}", cwd=tmp_path)
    assert_one_line(again, "holds a run already")
    resumed = cfa_lab(f"resume={metrics.parent}", cwd=tmp_path)
    assert_one_line(resumed, "nothing to resume")


def test_a_multirun_goes_on_after_a_failed_job_and_exits_with_one(tmp_path, tiny_root):
    done = cfa_lab(
        "-m", *TINY_RUN, f"dataset.root={tiny_root}", "category=sqare,square", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "'sqare'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.glob("multirun/*/*/*/metrics.json"))) == 1


@pytest.mark.slow
def test_interrupting_says_how_to_go_on_and_going_on_gives_the_same_numbers(tmp_path, tiny_root):
    arguments = [*TINY_RUN, f"dataset.root={tiny_root}", "trainer.epochs=60"]
    whole = cfa_lab(*arguments, f"hydra.run.dir={tmp_path / 'whole'}", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "cfa_lab", *arguments, f"hydra.run.dir={folder}"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        # a background shell lets its children ignore the signal, and they inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    history = folder / "history.csv"
    deadline = time.monotonic() + 120
    while not (history.is_file() and history.stat().st_size > 2000):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert f"resume={folder}" in stderr.strip().splitlines()[-1]
    assert "Traceback" not in stderr

    refused = cfa_lab(f"resume={folder}", "seed=1", cwd=tmp_path)
    assert_one_line(refused, "other settings")
    resumed = cfa_lab(f"resume={folder}", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    for name in ("history.csv", "predictions.csv"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_wandb_offline_run_is_complete_and_quiet(tmp_path, tiny_root):
    arguments = [a for a in TINY_RUN if not a.startswith("tracker")]
    done = cfa_lab(
        *arguments,
        f"dataset.root={tiny_root}",
        "tracker.images=false",
        cwd=tmp_path,
        WANDB_API_KEY="",
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("outputs/*/*/wandb/offline-run-*/run-*.wandb"))) == 1
    assert len(done.stderr.strip().splitlines()) < 12


def build(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "build", *arguments], check=True, capture_output=True)


@pytest.mark.slow
def test_the_built_wheel_holds_the_configuration_and_runs_without_the_checkout(tmp_path):
    """The wheel is unpacked, not installed: everything else comes from this environment."""
    import zipfile

    build("--wheel", "--outdir", tmp_path, REPOSITORY)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 1_000_000
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    experiments = sorted(path.name for path in (REPOSITORY / "conf" / "experiment").iterdir())
    assert [n for n in names if n.startswith("cfa_lab/conf/experiment/")] == [
        f"cfa_lab/conf/experiment/{name}" for name in experiments
    ]
    for name in ("cfa_lab/conf/config.yaml", "cfa_lab/py.typed"):
        assert name in names
    assert "hydra_plugins/cfa_lab_sweeper.py" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        "cfa_lab",
        "hydra_plugins",
    }
    assert not [name for name in names if "/results/" in name]

    build("--outdir", tmp_path / "again", REPOSITORY)  # a source distribution, and a wheel of that
    (again,) = (tmp_path / "again").glob("*.whl")
    with zipfile.ZipFile(again) as archive:
        assert sorted(archive.namelist()) == sorted(names)

    write_tiny(tmp_path / "data" / "square")
    done = cfa_lab(
        *TINY_RUN, f"dataset.root={tmp_path / 'data'}", cwd=tmp_path, PYTHONPATH=str(site)
    )
    assert done.returncode == 0, done.stderr
    plan = cfa_lab("plan", "experiment=toy_ablation", cwd=tmp_path, PYTHONPATH=str(site))
    assert plan.returncode == 0, plan.stderr
    where = subprocess.run(
        [sys.executable, "-c", "import cfa_lab; print(cfa_lab.__file__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
    )
    assert where.stdout.startswith(str(site))


def test_a_folder_that_holds_a_run_is_never_written_over_whatever_names_it(tmp_path, tiny_root):
    """By an id left in the shell, and by a folder whose name has to be resolved first."""
    settings = [*TINY_RUN, f"dataset.root={tiny_root}"]
    left = {"WANDB_RUN_ID": "left0ver"}
    first = cfa_lab(*settings, cwd=tmp_path, **left)
    assert first.returncode == 0, first.stderr
    record = tmp_path / "outputs/left0ver/metrics.json"
    before = record.read_bytes()
    second = cfa_lab(*settings, "seed=5", cwd=tmp_path, **left)
    assert second.returncode == 0, second.stderr
    assert "cfa_lab: WANDB_RUN_ID=left0ver is not used" in second.stderr
    named = "hydra.run.dir=outputs/${oc.env:WANDB_RUN_ID}"
    third = cfa_lab(*settings, "seed=5", named, cwd=tmp_path, **left)
    assert_one_line(third, "outputs/left0ver holds a run already")
    assert record.read_bytes() == before
    assert len(list((tmp_path / "outputs").rglob("metrics.json"))) == 2


def test_the_version_is_ours(tmp_path):
    done = cfa_lab("--version", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(f"cfa_lab {version('cfa-lab')} ")


@pytest.mark.parametrize(
    "arguments",
    [["--cfg", "job", "-p", "trainer"], ["seed=1", "--cfg", "job", "-p", "trainer", "category=x"]],
)
def test_a_part_of_the_configuration_is_shown_wherever_its_flag_stands(tmp_path, arguments):
    done = cfa_lab(*arguments, cwd=tmp_path)
    assert done.returncode == 0 and "precision: fast" in done.stdout, done.stderr
