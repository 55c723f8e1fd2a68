import shutil

import numpy as np
import pytest
from scipy.stats import beta

from cfa_lab import load
from cfa_lab.deploy.threshold import (
    false_alarm_interval,
    left_out_alarms,
    main,
)
from cfa_lab.errors import UserError
from cfa_lab.metrics.thresholds import fit_threshold


@pytest.fixture
def model(run_without_thresholds, tmp_path):
    for name in ("model.safetensors", "model.json"):
        shutil.copy(run_without_thresholds / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def normal(tiny_root):
    return tiny_root / "square" / "test" / "good"


def test_images_that_trained_the_model_are_told(
    run_without_thresholds, tiny_root, normal, tmp_path, capsys
):
    shutil.copytree(run_without_thresholds, tmp_path / "run")
    trained = tmp_path / "renamed"
    shutil.copytree(tiny_root / "square" / "train" / "good", trained)
    main([str(tmp_path / "run"), str(trained), str(normal), "--quantile", "0.5"])
    assert "5 of these 8 images trained this model" in capsys.readouterr().out
    main([str(tmp_path / "run"), str(normal), "--quantile", "0.5"])
    assert "trained this model" not in capsys.readouterr().out


@pytest.mark.parametrize("rule", ["quantile", "mean_sd", "extreme_value"])
def test_thresholds_are_the_rules_own_and_written_with_their_origin(model, normal, rule, capsys):
    main([str(model), str(normal), "--rule", rule, "--quantile", "0.9", "--num-sd", "2"])
    detector = load(model)
    found = detector.predict(sorted(normal.glob("*.png")))
    values = {"quantile": 0.9, "num_sd": 2.0}
    chosen = detector.thresholds
    assert chosen is not None
    assert chosen.image == pytest.approx(fit_threshold(found.scores, rule, **values), rel=1e-6)
    pixels = np.concatenate([one.ravel() for one in found.maps])
    assert chosen.pixel == pytest.approx(fit_threshold(pixels, rule, **values), rel=1e-6)
    assert chosen.origin["rule"] == rule
    assert chosen.origin["num_images"] == 3
    assert chosen.origin["parameter"] == (2.0 if rule == "mean_sd" else 0.9)
    told = capsys.readouterr().out
    assert "of 3 normal images, each judged without itself" in told
    assert ("give 10 images" in told) == (rule != "mean_sd")
    assert found.decisions is not None


def test_new_thresholds_take_the_place_of_the_old(model, normal, capsys):
    main([str(model), str(normal)])
    first = load(model).thresholds
    main([str(model), str(normal), "--quantile", "0.5"])
    second = load(model).thresholds
    assert first is not None and second is not None
    assert second.image < first.image
    assert f"(was {first.image:.6g})" in capsys.readouterr().out


def test_a_bad_image_changes_nothing(model, normal, tmp_path):
    before = (model / "model.json").read_bytes()
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"bad\.png.*no threshold was changed"):
        main([str(model), str(normal), str(tmp_path / "bad.png")])
    with pytest.raises(UserError, match=r"evaluation\.quantile"):
        main([str(model), str(normal), "--quantile", "1.5"])
    with pytest.raises(UserError, match="exported file"):
        main(["model.onnx", str(normal)])
    assert (model / "model.json").read_bytes() == before


def test_the_interval_is_clopper_and_pearsons():
    low, high = false_alarm_interval(3, 50)
    assert low == pytest.approx(beta.ppf(0.025, 3, 48))
    assert high == pytest.approx(beta.ppf(0.975, 4, 47))
    assert false_alarm_interval(0, 20)[0] == 0
    assert false_alarm_interval(0, 20)[1] == pytest.approx(1 - 0.025 ** (1 / 20))


def test_alarms_are_counted_without_the_images_own_part_in_the_threshold():
    scores = np.array([1.0, 2.0, 3.0, 10.0])
    # the largest is above whatever the others set; on all four the quantile 1 - tiny is itself
    assert left_out_alarms(scores, "quantile", quantile=0.999, num_sd=0) == 1
    rng = np.random.default_rng(0)
    many = rng.normal(size=2000)
    alarms = left_out_alarms(many, "quantile", quantile=0.95, num_sd=0)
    assert alarms / 2000 == pytest.approx(0.05, abs=0.015)
