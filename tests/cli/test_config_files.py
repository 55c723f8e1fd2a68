"""Settings from elsewhere do not grow without end: a folder's own, and those of a run to resume."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cfa_lab import texts
from cfa_lab.cli.arguments import resumed
from cfa_lab.cli.config_files import refuse_endless_files
from cfa_lab.errors import UserError

GROWING = """
a: &a [x, x, x, x]
b: &b [*a, *a, *a, *a]
c: [*b, *b, *b, *b]
"""
"""It stands for a hundred and fifty characters."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config-dir", "{}"],
        ["--config-dir={}"],
        ["-cd", "{}"],
        ["--config-d={}"],
        ["--config-path", "{}"],
        ["-cp={}"],
        ["hydra.searchpath=[file://{}]"],
        ["+hydra.searchpath=['pkg://somewhere','{}']"],
        ["hydra.searchpath={}"],
    ],
)
@pytest.mark.parametrize("name", ["experiment/mine.yaml", "config.yaml", "hydra/launcher/x.yaml"])
def test_a_folder_is_looked_at_however_it_is_named(
    tmp_path: Path, arguments: list[str], name: str, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(GROWING)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "notes.yaml").write_text(GROWING)  # nothing that Hydra would read
    asked = ["seed=1", *(argument.format(tmp_path) for argument in arguments), "loss.K=1"]
    refuse_endless_files(asked)
    monkeypatch.setattr(texts, "MOST_CHARACTERS_OF_YAML", 120)
    with pytest.raises(UserError, match=rf"^{path} stands for more than 120 characters once"):
        refuse_endless_files(asked)
    path.unlink()
    refuse_endless_files(asked)


def test_what_hydra_leaves_alone_or_tells_itself_is_no_reason_to_stop(tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    os.mkfifo(tmp_path / "experiment" / "pipe.yaml")
    (tmp_path / "experiment" / "gone.yaml").symlink_to("nowhere")
    (tmp_path / "experiment" / "damaged.yaml").write_bytes(b"a: [\xff")
    (tmp_path / "experiment" / "folder.yaml").mkdir()
    refuse_endless_files(["--config-dir", str(tmp_path)])
    refuse_endless_files(["--config-dir", str(tmp_path / "gone"), "--config-dir"])
    refuse_endless_files([])


def test_the_command_refuses_in_one_line(tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "long.yaml").write_text(f"a: &a {'x' * 300}\nb: [{'*a,' * 4000}]\n")
    command = [sys.executable, "-m", "cfa_lab", "--config-dir", str(tmp_path), "experiment=long"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert line.startswith(f"cfa_lab: {tmp_path}/experiment/long.yaml stands for more than 1000000")


@pytest.mark.parametrize(
    "content, told",
    [
        ("- seed=1\n- --config-dir=/x\n", "is no list of a run's settings"),
        ("- hydra.launcher._target_=os.system", "is no list of a run's settings"),
        ("- +hydra/launcher=x", "is no list of a run's settings"),
        ("- ~hydra.sweeper", "is no list of a run's settings"),
        ("- -m", "is no list of a run's settings"),
        ("a: 1", "is no list of a run's settings"),
        ("- [seed=1]", "is no list of a run's settings"),
        ("text", "is no list of a run's settings"),
        ("- [", "is no YAML"),
        (f"{'[' * 200}{']' * 200}", "over 100 lists and mappings inside each other"),
        ("- &a {b: *a}", "inside itself"),
    ],
)
def test_a_folder_to_resume_chooses_settings_only(tmp_path: Path, content: str, told: str):
    (tmp_path / ".hydra").mkdir()
    saved = tmp_path / ".hydra" / "overrides.yaml"
    saved.write_text(content)
    with pytest.raises(UserError, match=told) as caught:
        resumed([f"resume={tmp_path}"])
    assert str(caught.value).startswith(str(saved)) and "\n" not in str(caught.value)


def test_all_that_a_run_may_be_asked_for_is_resumed(tmp_path: Path):
    own = ["seed=1", "+backbone.x-y=2", "++loss.K=1", "~tracker", "experiment=a/b", "category='='"]
    own += ["dataset@here=toy", "backbone.tags={v1:x}", "tracker.tags=[a,b]"]
    (tmp_path / ".hydra").mkdir()
    saved = tmp_path / ".hydra" / "overrides.yaml"
    saved.write_text("".join(f"- {one!r}\n" if "'" not in one else f'- "{one}"\n' for one in own))
    assert resumed([f"resume={tmp_path}", "seed=2"])[: len(own) + 1] == [*own, "seed=2"]
    saved.write_text("")
    assert resumed([f"resume={tmp_path}"]) == [f"{key}='{tmp_path}'" for key in HERE]


HERE = ("resume", "hydra.run.dir")
