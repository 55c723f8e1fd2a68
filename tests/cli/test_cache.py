"""The sub-command that lists and empties the feature store, and whole runs on top of the store."""

import json
import os
from pathlib import Path

import pytest

from cfa_lab.cli.cache import default_folder, main
from cfa_lab.errors import UserError
from cfa_lab.features.extract import Extractor
from cfa_lab.features.folder import stored_files
from cfa_lab.run.prepare import prepare
from cfa_lab.run.run import run


def test_the_default_folder_is_the_runs_own(monkeypatch, tiny_config):
    assert default_folder() == Path(tiny_config().features.folder)
    monkeypatch.setenv("CFA_LAB_CACHE", "/somewhere")
    assert default_folder() == Path("/somewhere")
    monkeypatch.delenv("CFA_LAB_CACHE")
    assert default_folder() == Path("~/.cache/cfa_lab")


def test_an_absent_store_is_an_empty_one(tmp_path, capsys):
    for more in ([], ["--clear"], ["--max-gb", "1"]):
        main(["--folder", str(tmp_path / "none"), *more])
        assert "0.0 MB" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_runs_share_features_list_trim_and_clear(tmp_path, tiny_config, monkeypatch, capsys):
    """Cold, warm and without a cache: the same files, the same key, the backbone at work once."""
    passes: list[int] = []
    pyramid = Extractor.pyramid
    monkeypatch.setattr(
        Extractor,
        "pyramid",
        lambda self, pixels: passes.append(len(pixels)) or pyramid(self, pixels),
    )
    store = tmp_path / "store"
    here = (f"features.folder={store}", "trainer.epochs=1")
    cold = run(tiny_config(*here), tmp_path / "cold").folder
    assert sum(passes) == 11
    passes.clear()
    warm = run(tiny_config(*here, "seed=0", "features.memory_gb=0"), tmp_path / "warm").folder
    assert passes == []
    without = run(tiny_config(*here, "features.cache=false"), tmp_path / "without").folder
    assert sum(passes) == 11  # diagnostics ask for no second pass
    for name in ("history.csv", "predictions.csv", "model.safetensors", "model.json"):
        assert (cold / name).read_bytes() == (warm / name).read_bytes()
        assert (cold / name).read_bytes() == (without / name).read_bytes()
    keys = {json.loads((f / "metrics.json").read_text())["run_key"] for f in (cold, warm, without)}
    assert len(keys) == 1
    assert str(store) not in (cold / "model.json").read_text()

    for file in stored_files(store):
        os.utime(file.path, (0, 0))
    other = prepare(tiny_config(*here, "features.dtype=float32"))
    other.extractor.collect([other.table.absolute(sample.path) for sample in other.table.train])
    capsys.readouterr()
    main(["--folder", str(store)])
    title, _, older, newer = capsys.readouterr().out.splitlines()
    total = sum(file.num_bytes for file in stored_files(store))
    assert title == f"{store}: {total / 1e6:.1f} MB"
    for line, parts in (
        (
            older,
            ["11 ", "1970-01-01", "resnet18, layer1 layer2 layer3, leaky", "half", "num_threads=1"],
        ),
        (newer, ["5 ", "stretch 64 x 64", "float32", "cpu"]),
    ):
        for part in parts:
            assert part in line

    sizes = [file.num_bytes for file in stored_files(store)]
    main(["--folder", str(store), "--max-gb", str(sum(sizes[11:]) / 1e9)])
    assert [file.num_bytes for file in stored_files(store)] == sizes[11:]
    assert "deleted" in capsys.readouterr().out
    main(["--folder", str(store), "--clear"])
    assert stored_files(store) == []


def test_a_damaged_entry_is_listed_as_such(tmp_path, capsys):
    path = tmp_path / ("a" * 16) / f"{'b' * 32}.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"nothing")
    main(["--folder", str(tmp_path)])
    assert "damaged" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("value", ["-1", "nan"])
def test_an_impossible_bound_is_refused(tmp_path, value):
    with pytest.raises(UserError, match="--max-gb is"):
        main(["--folder", str(tmp_path), "--max-gb", value])
