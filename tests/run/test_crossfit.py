"""Thresholds from training images that the scoring model has not seen."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny import FIGURES, write_tiny
from PIL import Image

from cfa_lab.data.samples import Sample
from cfa_lab.errors import UserError
from cfa_lab.evaluation.maps import score_images
from cfa_lab.run.crossfit import cross_fitted_thresholds, folds_of
from cfa_lab.run.opening import doubt_about_thresholds
from cfa_lab.run.prepare import prepare
from cfa_lab.run.run import run
from cfa_lab.run.tables import read_table
from cfa_lab.training.fit import fit_pyramid

SOLVED = ("optimizer=closed_form", "loss.learnable_radius=false")


def samples(*groups: str | None) -> tuple[Sample, ...]:
    return tuple(
        Sample(f"{i}.png", "train", 0, "good", group=group) for i, group in enumerate(groups)
    )


def test_parts_hold_every_image_once_and_groups_whole():
    images = samples("a", "a", None, None, "b", "b", "b", None)
    parts = folds_of(images, 3, seed=0)
    assert sorted(s.path for part in parts for s in part) == [s.path for s in images]
    assert len(parts) == 3
    for group in ("a", "b"):
        assert sum(any(s.group == group for s in part) for part in parts) == 1
    assert folds_of(images, 3, seed=0) == parts
    assert len(folds_of(images, 99, seed=0)) == 5, "one group at a time"
    with pytest.raises(UserError, match="two training images"):
        folds_of(samples("a", "a"), 2, seed=0)


def test_copies_of_an_image_lie_in_one_part(tiny_config, tmp_path: Path, caplog):
    """One copy must not train what judges the other: its score would be next to nothing."""
    write_tiny(tmp_path / "square")
    more = (f"dataset.root={tmp_path}", "evaluation.folds=99", "evaluation.quantile=0.5")
    config = tiny_config(*SOLVED, *more)
    table = read_table(config)
    first = table.absolute(table.train[0].path)
    Image.open(first).save(first.with_name("copy.bmp"))
    prepared = prepare(config)
    table, extractor = prepared.table, prepared.extractor
    copies = {table.train[0].path, str(Path(table.train[0].path).with_name("copy.bmp"))}
    scores = []
    for sample in table.train:
        own = copies if sample.path in copies else {sample.path}
        rest = [table.absolute(s.path) for s in table.train if s.path not in own]
        detector, _ = fit_pyramid(extractor.collect(rest), pooled=True, preset=config, seed=0)
        scores += [scored.score for scored, _ in score_images(detector, extractor, table, [sample])]
    found = cross_fitted_thresholds(config, prepared)
    assert found.image == pytest.approx(np.quantile(scores, 0.5), rel=1e-12)
    assert sorted(found.normal_scores) == pytest.approx(sorted(scores), rel=1e-12)
    assert "1 training images are stored again" in caplog.text


def test_thresholds_are_those_of_models_fitted_without_the_image(tiny_config):
    config = tiny_config(*SOLVED, "evaluation.folds=99", "evaluation.quantile=0.5")
    prepared = prepare(config)
    table, extractor = prepared.table, prepared.extractor
    scores = []
    for sample in table.train:
        rest = [table.absolute(s.path) for s in table.train if s is not sample]
        detector, _ = fit_pyramid(extractor.collect(rest), pooled=True, preset=config, seed=0)
        scores += [scored.score for scored, _ in score_images(detector, extractor, table, [sample])]
    found = cross_fitted_thresholds(config, prepared)
    assert found.image == pytest.approx(np.quantile(scores, 0.5), rel=1e-12)


@pytest.mark.parametrize("tiles", [False, True], ids=["images", "tiles"])
@pytest.mark.parametrize("memory_gb", ["8", "0"], ids=["in memory", "streamed"])
@pytest.mark.parametrize(
    "fit", [SOLVED, ("memory_bank.kind=coreset", *SOLVED), ("trainer.epochs=1",)]
)
def test_features_gathered_once_give_the_bits_of_those_gathered_for_each_part(
    tiny_config, monkeypatch: pytest.MonkeyPatch, fit, memory_gb: str, tiles: bool
):
    cut = (
        ("image.resize=tile", "image.height=32", "image.width=32", "image.overlap=0")
        if tiles
        else ()
    )
    config = tiny_config(*(*fit, *cut), "evaluation.folds=2", f"features.memory_gb={memory_gb}")
    prepared = prepare(config)
    table, extractor = prepared.table, prepared.extractor
    scores = []
    for part in folds_of(table.train, 2, seed=config.dataset.subset_seed):
        rest = [table.absolute(s.path) for s in table.train if s not in part]
        detector, _ = fit_pyramid(extractor.collect(rest), pooled=True, preset=config, seed=0)
        scores += [scored.score for scored, _ in score_images(detector, extractor, table, part)]
    collected = []
    collect = type(extractor).collect

    def counted(self, paths):
        collected.append(len(paths))
        return collect(self, paths)

    monkeypatch.setattr(type(extractor), "collect", counted)
    assert list(cross_fitted_thresholds(config, prepared).normal_scores) == scores
    assert collected == [len(table.train)]


def test_a_run_says_which_images_set_its_thresholds(tiny_config, tmp_path: Path):
    result = run(tiny_config(*SOLVED, FIGURES, "evaluation.folds=2"), tmp_path / "run")
    assert result.thresholds_from == ("5 training images, each scored by a model fitted without it")
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert result.threshold_doubt == (
        "5 normal images cannot carry the quantile 0.995, beyond which 1 in 200 lies: of new "
        "normal images about 1 in 6 will lie above their highest score; "
        "evaluation.quantile=0.8 is what 5 carry"
    )
    assert record["protocol"]["threshold_rule"] == "quantile"
    assert record["protocol"]["num_train"] == 5
    assert "threshold/image_f1" in record["metrics"]
    model = json.loads((tmp_path / "run" / "model.json").read_text())
    assert model["thresholds"]["origin"]["num_images"] == 5
    assert (tmp_path / "run" / "misses.csv").is_file()
    assert (tmp_path / "run" / "figures" / "wrong.png").is_file()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["dataset.validation_fraction=0.4"], "evaluation.folds=5 lets all 5 normal images set it"),
        (["dataset.validation_fraction=0.4"], "evaluation.quantile=0.5 is what 2 carry"),
        (["dataset.validation_fraction=0.4", "evaluation.threshold=extreme_value"], "is a guess"),
        (["dataset.validation_fraction=0.2"], "1 normal image cannot carry"),
        (["evaluation.folds=2", "evaluation.quantile=0.9"], "evaluation.quantile=0.8 is what 5"),
    ],
)
def test_too_few_images_are_named_before_anything_is_computed(tiny_config, settings, told: str):
    config = tiny_config(*settings)
    doubt = doubt_about_thresholds(config, read_table(config))
    assert doubt is not None
    assert told in doubt


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["evaluation.folds=5", "evaluation.quantile=0.8"],
        ["dataset.validation_fraction=0.4", "evaluation.quantile=0.5"],
        ["dataset.validation_fraction=0.4", "evaluation.threshold=mean_sd"],
    ],
)
def test_enough_images_and_no_thresholds_raise_no_doubt(tiny_config, settings):
    config = tiny_config(*settings)
    assert doubt_about_thresholds(config, read_table(config)) is None


def test_one_part_is_refused_and_none_leaves_keys_alone(tiny_config):
    with pytest.raises(UserError, match=r"evaluation\.folds is 1"):
        tiny_config("evaluation.folds=1")
    assert prepare(tiny_config()).run_key != prepare(tiny_config("evaluation.folds=2")).run_key
