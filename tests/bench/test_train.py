import json

import pytest

from cfa_lab import bench
from cfa_lab.bench.train import main, run_bench_train
from cfa_lab.errors import UserError


@pytest.mark.slow
def test_contestants_train_to_the_same_losses_and_have_ratios():
    report = run_bench_train(height=32, width=48, steps=2)
    results = report["results"]
    assert list(results) == ["reference", "exact", "fast"]
    assert results["reference"]["ratio"] == 1
    assert all(len(result["losses"]) == 3 for result in results.values())
    assert results["exact"]["loss_difference"] < 1e-4
    assert results["fast"]["loss_difference"] < 1e-2


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_json(tmp_path, capsys):
    main(
        ["--height", "32", "--width", "32", "--steps", "1", "--json", str(tmp_path / "train.json")]
    )
    assert "times faster" in capsys.readouterr().out
    assert json.loads((tmp_path / "train.json").read_text())["setting"]["size"] == [32, 32]


@pytest.mark.parametrize("arguments", [[], ["speed"]])
def test_an_unknown_comparison_names_those_there_are(arguments):
    with pytest.raises(UserError, match="metrics, predict, run, sweep, train"):
        bench.main(arguments)
