import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import make_pyramid

from cfa_lab import Detector, fit_pyramid, reference
from cfa_lab.config import load_settings
from cfa_lab.config.presets import presets
from cfa_lab.errors import UserError
from cfa_lab.method.pyramid import pool
from cfa_lab.records.history import HISTORY_COLUMNS
from cfa_lab.training.checkpoint import restore_state, save_state
from cfa_lab.training.fit import detector_of, new_fit, train
from cfa_lab.training.order import seeded_batches
from cfa_lab.training.state import Fit, Observer
from cfa_lab.vocabulary import WITHOUT_PART

SHORT: dict[str, Any] = {"epochs": 3, "batch_size": 2}


@pytest.mark.parametrize("preset", presets())
def test_every_preset_fits_and_scores(preset):
    levels = make_pyramid(5)
    detector, history = fit_pyramid(levels, preset=preset, **SHORT)
    assert [row["step"] for row in history] == list(range(len(history)))
    assert all(tuple(row)[:8] == HISTORY_COLUMNS for row in history)
    assert len(history) == {"official": 6, "lab": 1}.get(preset, 9)
    scores = detector.score(levels)
    assert scores.shape == (5, 8, 6)
    assert scores.isfinite().all()
    assert (scores >= 0).all()


def test_training_matches_the_literal_reference_step_by_step():
    levels = make_pyramid(6)
    torch.manual_seed(0)
    weight, bias = torch.randn(9, 17) / 4, torch.randn(9) / 4
    batches = [
        b.tolist() for e in range(4) for b in seeded_batches(6, 2, drop_last=True, seed=0, epoch=e)
    ]
    detector, history = fit_pyramid(
        levels,
        preset="official",
        lr=2e-2,
        batches=batches,
        bank_batches=[[0, 1], [2, 3]],
        initial_weight=weight,
        initial_bias=bias,
    )
    run = reference.train(
        levels, batches=batches, bank_batches=[[0, 1], [2, 3]], weight=weight, bias=bias, lr=2e-2
    )
    for ours, literal in zip(history, run.history, strict=True):
        for name, value in literal.items():
            assert ours[f"train/{name}"] == pytest.approx(value, rel=1e-4, abs=1e-4)
    torch.testing.assert_close(detector.descriptor.weight, run.weight, rtol=1e-3, atol=1e-4)
    assert float(detector.radius) == pytest.approx(run.radius, rel=1e-4)


def test_one_seed_gives_the_same_bits_and_another_does_not():
    levels = make_pyramid(5)
    first, again, other = (
        fit_pyramid(levels, preset="anomalib", seed=seed, **SHORT)[0] for seed in (0, 0, 1)
    )
    assert torch.equal(first.score(levels), again.score(levels))
    assert not torch.equal(first.score(levels), other.score(levels))


@pytest.mark.parametrize("num_images", [1, 2, 3])
def test_any_number_of_images_trains(num_images):
    """Even with drop-last and fewer images than a batch."""
    levels = make_pyramid(num_images)
    _, history = fit_pyramid(levels, preset="official", epochs=2)
    assert len(history) == 2


@pytest.mark.parametrize("grid", [(1, 6), (5, 9), (6, 1)])
def test_any_grid_trains(grid):
    levels = make_pyramid(2, grid=grid)
    detector, _ = fit_pyramid(levels, K=1, J=1, epochs=2)
    assert detector.score(levels).shape == (2, *grid)
    assert detector.score(levels).isfinite().all()


def test_constant_images_have_distance_zero_and_no_nan():
    levels = [torch.ones_like(level) for level in make_pyramid(3)]
    detector, history = fit_pyramid(levels, **SHORT)
    assert all(math.isfinite(row["train/loss"]) for row in history)
    assert detector.score(levels).isfinite().all()


def test_pooled_half_precision_and_memory_maps_give_what_tensors_give(tmp_path):
    levels = make_pyramid(4)
    expected = fit_pyramid(levels, **SHORT)[0].score(levels)
    maps = []
    for i, level in enumerate(levels):
        np.save(tmp_path / f"{i}.npy", level.numpy())
        maps.append(np.load(tmp_path / f"{i}.npy", mmap_mode="r"))
    assert torch.equal(fit_pyramid(maps, **SHORT)[0].score(levels), expected)
    pooled = [pool(level) for level in levels]
    assert torch.equal(fit_pyramid(pooled, pooled=True, **SHORT)[0].score(levels), expected)
    half = [level.half() for level in pooled]
    close = fit_pyramid(half, pooled=True, **SHORT)[0].score(levels)
    torch.testing.assert_close(close, expected, rtol=0.05, atol=0.01)


def test_a_fixed_radius_stays_and_never_repels():
    detector, history = fit_pyramid(make_pyramid(4), preset="paper", r=0.01, **SHORT)
    assert all(row["train/radius"] == pytest.approx(0.01) for row in history)
    assert float(detector.radius) == pytest.approx(0.01)
    assert not any(row["train/repulsion"] for row in history)


def test_gammas_divide_bank_and_dimension():
    detector, _ = fit_pyramid(make_pyramid(3), preset="official", gamma_c=4, gamma_d=2, **SHORT)
    assert detector.bank.shape == (12, 7)


def test_no_epochs_leave_the_descriptor_as_it_was_initialised():
    torch.manual_seed(0)
    weight, bias = torch.randn(9, 17), torch.randn(9)
    detector, history = fit_pyramid(
        make_pyramid(3), epochs=0, initial_weight=weight, initial_bias=bias
    )
    assert history == []
    assert torch.equal(detector.descriptor.weight, weight)


@pytest.mark.parametrize("kind", ["mean", "ema", "sample"])
def test_a_refreshed_bank_is_the_one_the_trained_descriptor_makes(kind):
    """Seen from outside: it is what a fit that starts from these weights begins with."""
    values = replace(load_settings("official").memory_bank, kind=kind, refresh=True)
    settings = replace(load_settings("official"), memory_bank=values)
    trained, history = fit_pyramid(make_pyramid(4), preset=settings, lr=0.02, epochs=3)
    weight, bias = trained.descriptor.weight, trained.descriptor.bias
    again, _ = fit_pyramid(
        make_pyramid(4), preset=settings, epochs=0, initial_weight=weight, initial_bias=bias
    )
    torch.testing.assert_close(trained.bank, again.bank)
    kept, first = fit_pyramid(
        make_pyramid(4), preset=replace(settings, memory_bank=replace(values, refresh=False)),
        lr=0.02, epochs=3,
    )  # fmt: skip
    assert not torch.allclose(kept.bank, trained.bank)
    assert first[0] == history[0]
    assert first[1] != history[1]


def test_a_refreshed_bank_survives_an_interruption(tmp_path):
    values = replace(load_settings("anomalib").memory_bank, refresh=True)
    settings = replace(load_settings("anomalib"), memory_bank=values)
    settings.trainer.epochs = 4

    def save_second(fit: Fit) -> None:
        if fit.next_epoch == 2:
            save_state(tmp_path, fit, fit_key="key")

    whole, _ = fit_pyramid(make_pyramid(5), preset=settings, observer=Observer(epoch=save_second))
    fit = new_fit(make_pyramid(5), settings)
    restore_state(tmp_path, fit, fit_key="key")
    train(fit, Observer())
    resumed = detector_of(fit)
    assert torch.equal(whole.bank, resumed.bank)
    assert torch.equal(whole.descriptor.weight, resumed.descriptor.weight)


def test_initial_values_of_any_number_type_are_taken_as_float32_and_left_alone():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(9, 17)), rng.normal(size=9)
    kept = weight.copy()
    detector, _ = fit_pyramid(make_pyramid(3), initial_weight=weight, initial_bias=bias, **SHORT)
    assert detector.descriptor.weight.dtype == detector.descriptor.bias.dtype == torch.float32
    assert np.array_equal(weight, kept)


def test_a_loss_that_becomes_infinite_stops_with_step_and_last_value():
    levels = make_pyramid(4)
    levels[0][3] = float("inf")
    with pytest.raises(UserError, match=r"at step 1 .*was [\d.]+ at step 0; lower optimizer.lr"):
        fit_pyramid(
            levels, preset="official", bank_batches=[[0, 1]], batches=[[0, 1], [2, 3]], **SHORT
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_first_loss_that_is_not_finite_points_at_the_features(value):
    levels = make_pyramid(4)
    levels[1][2, 0, 1, 1] = value
    with pytest.raises(UserError, match=r"at step 0 .*features\.dtype=float32") as caught:
        fit_pyramid(levels, preset="official", **SHORT)
    assert "optimizer.lr" not in str(caught.value)
    with pytest.raises(UserError, match=r"solved for.*features\.dtype=float32"):
        fit_pyramid(levels, preset="lab")


def test_a_bank_too_small_for_scoring_is_refused_before_training_begins():
    settings = load_settings("lab")
    settings.memory_bank.kind = "mean"
    settings.scoring.num_neighbours = 49
    with pytest.raises(UserError, match=r"scoring\.num_neighbours is 49; allowed: 1 to 48"):
        new_fit(make_pyramid(3), settings)


def test_a_radius_of_zero_is_refused_only_where_it_is_learned():
    with pytest.raises(UserError, match=r"loss\.r is 0.*loss\.learnable_radius=false"):
        fit_pyramid(make_pyramid(3), preset="official", r=0.0, **SHORT)
    detector, _ = fit_pyramid(make_pyramid(3), preset="paper", r=0.0, **SHORT)
    assert float(detector.radius) == 0


def test_numpys_whole_numbers_are_whole_numbers():
    values: dict[str, Any] = {
        name: np.int64(value) for name, value in {"K": 2, "J": 2, "seed": 1, **SHORT}.items()
    }
    _, history = fit_pyramid(make_pyramid(3), **values)
    assert history == fit_pyramid(make_pyramid(3), K=2, J=2, seed=1, **SHORT)[1]


@pytest.mark.parametrize(
    "values, message",
    [
        ({"K": 0}, "loss.K is 0"),
        ({"K": 40, "J": 20}, r"40 \+ 20 but the memory bank has 48"),
        ({"gamma_d": 16}, "descriptor.gamma_d=16"),
        ({"gamma_c": 49}, "memory_bank.gamma_c=49"),
        ({"lr": 0.0}, "optimizer.lr"),
        ({"preset": "ours"}, "allowed: anomalib, lab, official, paper"),
        ({"batches": [[5]], "preset": "official"}, "image indices 0 to 2"),
        ({"batches": [[0]]}, "optimizer=closed_form takes every image once"),
        ({"r": 0.5}, r"optimizer=closed_form: repulsion acts with loss\.J=3 loss\.r=0\.5"),
        ({"K": 1.5}, r"loss\.K is 1\.5; must be a whole number"),
        ({"J": 1.0}, r"loss\.J is 1\.0; must"),
        ({"gamma_c": "2"}, r"memory_bank\.gamma_c is '2'; must"),
        ({"gamma_d": 1.5}, r"descriptor\.gamma_d is 1\.5; must"),
        ({"epochs": 1.5}, r"trainer\.epochs is 1\.5; must"),
        ({"batch_size": 1.5}, r"trainer\.batch_size is 1\.5; must"),
        ({"seed": 0.5}, r"seed is 0\.5; must be a whole number"),
        ({"seed": -1}, "seed is -1; allowed: 0 to 4294967295"),
        ({"seed": 2**32}, "seed is 4294967296; allowed"),
        ({"initial_weight": np.zeros((9, 17))}, r"initial_weight .*\(9, 17\); needed: \(15, 17\)"),
        (
            {"initial_weight": np.zeros((9, 15)), "initial_bias": np.zeros(9)},
            r"initial_weight .*\(9, 15\); needed: \(d, 17\)",
        ),
        ({"initial_weight": 1.0}, r"initial_weight has the shape \(\); needed"),
        ({"initial_bias": np.zeros((15, 1))}, r"initial_bias .*\(15, 1\); needed: \(15,\)"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(UserError, match=message) as caught:
        fit_pyramid(make_pyramid(3), **values)
    assert "\n" not in str(caught.value)


def test_levels_from_coarse_to_fine_are_refused():
    with pytest.raises(UserError, match=r"fine to coarse; .*\(2, 1\), \(4, 3\), \(8, 6\)"):
        fit_pyramid(make_pyramid(3)[::-1])


@pytest.mark.parametrize("levels", [[], [torch.zeros(2, 3, 4)], [torch.zeros(0, 3, 4, 4)]])
def test_levels_that_are_no_maps_are_refused(levels):
    with pytest.raises(UserError, match="levels"):
        fit_pyramid(levels)


def test_presets_read_without_hydra_are_checked_settings():
    official, paper = load_settings("official"), load_settings("paper")
    assert (official.loss.negatives, official.loss.learnable_radius) == ("from_j", True)
    assert (paper.loss.negatives, paper.loss.nu, paper.memory_bank.kind) == ("after_k", 1.0, "ema")
    assert official.trainer.drop_last


def test_the_public_names_are_importable_from_the_package():
    import cfa_lab

    assert cfa_lab.Detector is Detector
    assert cfa_lab.fit_pyramid is fit_pyramid
    with pytest.raises(AttributeError, match="nothing"):
        _ = cfa_lab.nothing


OTHER = {
    "optimizer.time": 2.0,
    "optimizer.lr": 0.1,
    "optimizer.weight_decay": 0.5,
    "optimizer.amsgrad": False,
    "trainer.epochs": 3,
    "trainer.batch_size": 1,
    "trainer.drop_last": True,
    "trainer.precision": "exact",
}
"""Values that no preset has."""


@pytest.mark.parametrize(
    "name, key", [(name, key) for name, keys in WITHOUT_PART.items() for key in keys]
)
def test_what_has_no_part_under_an_optimizer_changes_no_bit(name: str, key: str):
    levels = make_pyramid(5)
    settings = load_settings("lab")
    trainer = replace(settings.trainer, epochs=2)
    usual = replace(settings, optimizer=replace(settings.optimizer, name=name), trainer=trainer)
    group, _, last = key.partition(".")
    changed = replace(getattr(usual, group), **{last: OTHER[key]})
    assert changed != getattr(usual, group)
    detectors = [
        fit_pyramid(levels, preset=preset)[0]
        for preset in (usual, replace(usual, **{group: changed}))
    ]
    for a, b in zip(*(detector.state_dict().values() for detector in detectors), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("preset", ["lab", "official"])
def test_features_too_large_for_a_distance_are_told(preset):
    levels = make_pyramid(3)
    levels[0][1, 0, 2, 2] = 1e25
    with pytest.raises(UserError, match=r"features reach .*e\+2.* scale them down"):
        fit_pyramid(levels, preset=preset)
