import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.literal_metrics import SCORE_STYLES, literal_aupimo, literal_values, random_test_set
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.multiprocessing.spawn import spawn

from cfa_lab import metrics as package
from cfa_lab.bench.literal_pro import literal_aupro
from cfa_lab.errors import UserError
from cfa_lab.metrics import AnomalyMetrics
from cfa_lab.metrics.collected import STATES
from cfa_lab.metrics.names import limit_of

LIMITS = (0.3, 0.05)
NAMES = [
    "image_auroc",
    "image_ap",
    "image_f1max",
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1max",
    "aupro_30",
    "aupro_05",
]


def evaluated(maps: Any, masks: Any, **given: Any) -> AnomalyMetrics:
    metrics = AnomalyMetrics()
    metrics.update(maps, masks, **given)
    return metrics


def values_of(maps: Any, masks: Any, **given: Any) -> dict[str, float]:
    return {name: float(v) for name, v in evaluated(maps, masks, **given).compute().items()}


@pytest.mark.parametrize("style", SCORE_STYLES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_metrics_equal_sklearn_and_the_literal_aupro(style: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    for _ in range(15):
        maps, masks = random_test_set(rng, style, dtype=dtype)
        expected = literal_values(maps, masks, LIMITS)
        assert values_of(maps, masks) == pytest.approx(expected, abs=1e-11)


@pytest.mark.slow
def test_all_metrics_equal_the_literal_ones_on_thousands_of_cases() -> None:
    rng = np.random.default_rng(1)
    for style in SCORE_STYLES:
        for _ in range(1000):
            maps, masks = random_test_set(rng, style, num_images=int(rng.integers(2, 6)))
            expected = literal_values(maps, masks, LIMITS)
            assert values_of(maps, masks) == pytest.approx(expected, abs=1e-11)


def test_values_are_float64_scalars_under_the_names_of_the_contract() -> None:
    maps, masks = random_test_set(np.random.default_rng(2), "smooth")
    computed = evaluated(maps, masks).compute()
    assert list(computed) == NAMES
    assert all(v.dtype == torch.float64 and v.shape == () for v in computed.values())


def test_a_single_defect_pixel_at_a_corner() -> None:
    maps = np.zeros((2, 4, 4), dtype=np.float32)
    masks = np.zeros((2, 4, 4), dtype=bool)
    maps[1, 0, 0], masks[1, 0, 0] = 1.0, True
    assert values_of(maps, masks) == dict.fromkeys(NAMES, 1.0)
    maps[1, 0, 0] = -1.0  # now last of all, behind 31 ties
    values = values_of(maps, masks)
    assert values["pixel_auroc"] == values["aupro_30"] == 0.0
    assert values["pixel_ap"] == 1 / 32


def test_tensors_arrays_and_lists_are_the_same() -> None:
    rng = np.random.default_rng(3)
    maps = rng.normal(size=(4, 5, 6)).astype(np.float32)
    masks = rng.random((4, 5, 6)) < np.array([0.0, 0.3, 0.0, 0.5])[:, None, None]
    expected = values_of(maps, masks)
    tensor = torch.from_numpy(maps)
    tensor.requires_grad_()
    assert values_of(tensor, torch.from_numpy(masks)) == expected
    assert values_of(list(tensor), list(masks.astype(np.uint8) * 255)) == expected
    assert values_of(torch.from_numpy(maps).double(), masks.astype(np.float32)) == expected
    assert values_of(maps, masks, labels=torch.tensor([0, 1, 0, 1])) == expected
    assert values_of(maps, masks, scores=maps.max(axis=(1, 2))) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_low_precision_maps_are_taken_as_they_are(dtype: torch.dtype) -> None:
    rng = np.random.default_rng(4)
    maps = torch.from_numpy(rng.integers(0, 50, (4, 5, 6))).to(dtype)
    masks = rng.random((4, 5, 6)) < np.array([0.0, 0.3, 0.0, 0.5])[:, None, None]
    assert values_of(maps, masks) == values_of(maps.float(), masks)


def test_the_buffer_of_a_map_may_be_reused() -> None:
    maps, masks = np.random.default_rng(5).normal(size=(2, 4, 4)), np.zeros((2, 4, 4))
    masks[1, 1] = 1
    metrics = evaluated(maps, masks)
    expected = metrics.compute()
    metrics = evaluated(maps, masks)
    maps[:] = 0
    assert metrics.compute() == expected


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), style=st.sampled_from(sorted(SCORE_STYLES)))
def test_no_strictly_increasing_change_of_the_scores_matters(seed: int, style: str) -> None:
    """Every distinct float32 score gets a new one from anywhere in float32, in the same order."""
    rng = np.random.default_rng(seed)
    maps, masks = random_test_set(rng, style)
    old = np.unique(np.concatenate([m.ravel() for m in maps]))
    new = np.zeros(0, dtype=np.float32)
    while new.size < old.size:
        more = (rng.normal(size=old.size) * 10.0 ** rng.integers(-20, 20, old.size)).astype("f4")
        new = np.unique(np.append(new, more))
    new = np.sort(rng.choice(new, old.size, replace=False))
    changed = [new[np.searchsorted(old, m)] for m in maps]
    assert values_of(changed, masks) == values_of(maps, masks)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3), cuts=st.sets(st.integers(1, 23)))
def test_raw_scores_around_any_size_do_not_depend_on_batches(
    seed: int, scale: float, cuts: set[int]
) -> None:
    """No score is taken for a logit or a probability, whatever its batch looks like."""
    rng = np.random.default_rng(seed)
    maps = scale * (0.8 + 0.4 * rng.random((24, 2, 2)))
    masks = rng.random((24, 1, 1)) < rng.random((24, 2, 2))
    scores, labels = scale * (0.8 + 0.4 * rng.random(24)), np.arange(24) % 2
    whole = values_of(maps, masks, labels=labels, scores=scores)
    order = (scores[labels == 1][:, None] > scores[labels == 0]).mean()
    assert whole["image_auroc"] == pytest.approx(order, abs=1e-12)
    parts = AnomalyMetrics()
    for places in np.split(np.arange(24), sorted(cuts)):
        parts.update(maps[places], masks[places], labels[places], scores[places])
    assert {name: float(v) for name, v in parts.compute().items()} == pytest.approx(
        whole, abs=1e-13, nan_ok=True
    )


@pytest.mark.parametrize("wrong", [np.ones((2, 2), dtype=complex), np.full((2, 2), "0.5")])
def test_maps_and_scores_that_are_no_real_numbers_are_refused(wrong: np.ndarray) -> None:
    metrics = AnomalyMetrics()
    with pytest.raises(UserError, match=r"part\.png: a map of .* give real numbers") as caught:
        metrics.update([wrong], [np.eye(2)], names=["part.png"])
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"image scores are .* give real numbers"):
        metrics.update([np.eye(2)], [np.eye(2)], scores=wrong[0, :1], names=["part.png"])
    assert not metrics.memory_bytes


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), style=st.sampled_from(sorted(SCORE_STYLES)))
def test_order_batches_and_merging_of_images_do_not_matter(seed: int, style: str) -> None:
    rng = np.random.default_rng(seed)
    maps, masks = random_test_set(rng, style, num_images=6)
    expected = values_of(maps, masks)
    order = rng.permutation(6)
    parts = [AnomalyMetrics() for _ in range(2)]
    for batch in np.split(order, np.sort(rng.integers(0, 7, size=3))):
        parts[rng.integers(0, 2)].update([maps[i] for i in batch], [masks[i] for i in batch])
    parts[0].compute_with_cache = bool(rng.integers(0, 2))
    if parts[0].update_called:
        parts[0].compute()  # a result from before the merge must not survive it
    parts[0].merge_state(parts[1])
    merged = {name: float(v) for name, v in parts[0].compute().items()}
    assert merged == pytest.approx(expected, abs=1e-13)


def test_metrics_follow_later_updates_and_reset() -> None:
    maps, masks = random_test_set(np.random.default_rng(6), "smooth", num_images=6)
    metrics = evaluated(maps[:3], masks[:3])
    assert metrics.compute() and metrics.oracle()
    metrics.update(maps[3:], masks[3:])
    assert metrics.compute() == evaluated(maps, masks).compute()
    assert metrics.oracle() == evaluated(maps, masks).oracle()
    metrics.reset()
    assert metrics.memory_bytes == 0
    metrics.update(maps[:3], masks[:3])
    assert metrics.compute() == evaluated(maps[:3], masks[:3]).compute()


def test_forward_returns_the_batch_and_keeps_the_rest() -> None:
    maps, masks = random_test_set(np.random.default_rng(7), "smooth", num_images=6)
    metrics = AnomalyMetrics()
    assert metrics(maps[:3], masks[:3]) == evaluated(maps[:3], masks[:3]).compute()
    assert metrics(maps[3:], masks[3:]).keys() == dict.fromkeys(NAMES).keys()
    whole = evaluated(maps, masks).compute()
    assert all(torch.isclose(v, whole[name], atol=1e-13) for name, v in metrics.compute().items())


def test_copies_and_pickles_give_the_same_values() -> None:
    metrics = evaluated(*random_test_set(np.random.default_rng(8), "ties"))
    expected = metrics.compute()
    for copied in (copy.deepcopy(metrics), pickle.loads(pickle.dumps(metrics)), metrics.clone()):
        copied._computed = None
        assert copied.compute() == expected


def test_memory_is_four_bytes_a_normal_pixel() -> None:
    metrics = evaluated(np.zeros((3, 100, 100), dtype=np.float32), np.zeros((3, 100, 100)))
    assert metrics.memory_bytes == 3 * (100 * 100 * 4 + 5 * 8)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite_are_refused_by_name(wrong: float) -> None:
    maps = np.zeros((2, 3, 3), dtype=np.float32)
    maps[1, 2, 0] = wrong
    metrics = AnomalyMetrics()
    with pytest.raises(UserError, match=r"bottle/003\.png: 1 of 9 scores"):
        metrics.update(maps, np.zeros((2, 3, 3)), names=["good/001.png", "bottle/003.png"])
    assert metrics.memory_bytes == 0  # not even the image before it was kept
    with pytest.raises(UserError, match="image 1: 1 of 9"):
        metrics.update(maps, np.zeros((2, 3, 3)))


def test_what_does_not_fit_is_refused_by_name() -> None:
    maps, masks = np.zeros((1, 3, 3)), np.zeros((1, 3, 3))
    for match, arguments in {
        "x: mask of shape \\(3, 2\\)": {"maps": maps, "masks": masks[:, :, :2], "names": ["x"]},
        "image 0: map of shape \\(2, 3, 3\\)": {
            "maps": maps[None].repeat(2, axis=1),
            "masks": masks,
        },
        "2 masks for 1 maps": {"maps": maps, "masks": np.zeros((2, 3, 3))},
        "2 labels for 1 maps": {"maps": maps, "masks": masks, "labels": [0, 1]},
        "x: label 2 is neither": {"maps": maps, "masks": masks, "labels": [2], "names": ["x"]},
        "x: image score nan": {
            "maps": maps,
            "masks": None,
            "labels": [0],
            "scores": [np.nan],
            "names": ["x"],
        },
        "image 0: neither mask nor label": {"maps": maps, "masks": None},
    }.items():
        with pytest.raises(UserError, match=match) as caught:
            AnomalyMetrics().update(**arguments)
        assert "\n" not in str(caught.value)


def test_every_undefined_metric_has_a_reason() -> None:
    maps, masks = np.arange(18.0).reshape(2, 3, 3), np.zeros((2, 3, 3))
    defect = np.ones((2, 3, 3))
    cases = [
        (evaluated(maps, masks), "no defect images", "no defect pixels"),
        (evaluated(maps, defect), "no normal images", "no normal pixels"),
        (evaluated(maps, masks, labels=[0, 1]), "", "no defect pixels"),
        (evaluated(maps, None, labels=[1, 0]), "", "no masks"),
        (evaluated(maps, [None, masks[0]], labels=[1, 0]), "", "no defect image has a mask"),
        (evaluated(maps, [None, defect[0]], labels=[1, 0]), "", "no normal pixels"),
        (evaluated([], []), "no images", "no images"),
    ]
    for metrics, image_reason, pixel_reason in cases:
        undefined, values = metrics.undefined(), metrics.compute()
        assert undefined.keys() == {name for name, v in values.items() if v.isnan()}
        for name in NAMES:
            expected = image_reason if name.startswith("image") else pixel_reason
            assert undefined.get(name, "").startswith(expected) and bool(expected) == (
                name in undefined
            )


def test_defined_metrics_have_no_reason() -> None:
    assert evaluated(*random_test_set(np.random.default_rng(9), "smooth")).undefined() == {}


def test_a_defect_image_without_defect_pixels_stays_one() -> None:
    maps = np.array([[[0.1, 0.2]], [[0.3, 0.4]], [[0.5, 0.6]]])
    masks = np.array([[[0, 0]], [[0, 0]], [[0, 1]]])
    metrics = evaluated(maps, masks, labels=[0, 1, 1], scores=[1.0, 0.0, 2.0])
    assert float(metrics.compute()["image_auroc"]) == 0.5
    assert metrics.aupimo().tolist() == [1.0]


def test_unknown_masks_count_for_image_metrics_only() -> None:
    maps, masks = random_test_set(np.random.default_rng(10), "smooth", num_images=5)
    labels = [int(mask.any()) for mask in masks]
    partly = values_of(maps, [*masks[:3], None, None], labels=labels)
    assert partly["image_auroc"] == values_of(maps, masks)["image_auroc"]
    assert partly["pixel_ap"] == values_of(maps[:3], masks[:3])["pixel_ap"]


def test_oracle_thresholds_reach_f1max_and_no_other_does_better() -> None:
    maps, masks = random_test_set(np.random.default_rng(11), "smooth", num_images=8)
    metrics = evaluated(maps, masks)
    values, oracle = metrics.compute(), metrics.oracle()
    best = metrics.at_threshold(oracle["image_f1max_threshold"], oracle["pixel_f1max_threshold"])
    assert best["image_f1"] == pytest.approx(float(values["image_f1max"]))
    assert best["pixel_f1"] == pytest.approx(float(values["pixel_f1max"]))
    for threshold in np.linspace(-3, 3, 50):
        other = metrics.at_threshold(threshold, threshold)
        assert other["image_f1"] <= best["image_f1"] + 1e-12
        assert other["pixel_f1"] <= best["pixel_f1"] + 1e-12


def test_decisions_at_a_threshold_are_plain_counts() -> None:
    maps, masks = random_test_set(np.random.default_rng(12), "ties", num_images=8)
    truth = np.concatenate([mask.ravel() for mask in masks])
    found = np.concatenate([m.ravel() for m in maps]) >= 2.0
    rates = evaluated(maps, masks).at_threshold(3.0, 2.0)
    assert rates["pixel_fpr"] == found[~truth].mean()
    assert rates["pixel_miss_rate"] == (~found[truth]).mean()
    image_found = np.array([m.max() >= 3.0 for m in maps])
    assert rates["image_fpr"] == image_found[[not mask.any() for mask in masks]].mean()
    without = evaluated(maps, masks).at_threshold(3.0)
    assert without["image_f1"] == rates["image_f1"]
    assert np.isnan([without["pixel_f1"], without["pixel_fpr"], without["pixel_miss_rate"]]).all()


def test_aupimo_and_iou_come_from_the_same_state() -> None:
    maps, masks = random_test_set(np.random.default_rng(13), "smooth", num_images=8)
    metrics = evaluated(maps, masks)
    normals = [m.ravel() for m, mask in zip(maps, masks, strict=True) if not mask.any()]
    expected = [
        literal_aupimo(normals, m[mask], 0.01, 0.5)
        for m, mask in zip(maps, masks, strict=True)
        if mask.any()
    ]
    np.testing.assert_allclose(metrics.aupimo(fpr_range=(0.01, 0.5)), expected, atol=1e-12)
    extra = metrics.extra(fpr_range=(0.01, 0.5))
    f1 = float(metrics.compute()["pixel_f1max"])
    assert extra["aupimo"] == pytest.approx(np.mean(expected))
    assert extra["pixel_iou_max"] == pytest.approx(f1 / (2 - f1))


def test_curves_have_the_names_of_the_contract() -> None:
    curves = evaluated(*random_test_set(np.random.default_rng(14), "smooth")).curves()
    assert list(curves) == ["image_roc", "image_pr", "pixel_roc", "pixel_pr", "pro"]
    assert all(x.shape == y.shape and x.size > 1 for x, y in curves.values())
    assert all(
        x.size == 0 for x, _ in evaluated(np.ones((1, 2, 2)), None, labels=[0]).curves().values()
    )


def test_every_limit_has_a_value_of_its_own() -> None:
    limits = (0.3, 0.05, 1.0, 0.125, 0.1, 0.01, 0.001, 0.005, 0.305, 1e-13, 0.1 + 0.2)
    maps, masks = random_test_set(np.random.default_rng(15), "smooth")
    metrics = AnomalyMetrics(limits)
    metrics.update(maps, masks)
    found = list(metrics.compute().items())[6:]
    assert [limit_of(name) for name, _ in found] == list(limits)
    for (_, value), expected in zip(
        found, literal_aupro(maps, masks, limits=list(limits)), strict=True
    ):
        assert float(value) == pytest.approx(expected, abs=1e-9)


def test_limits_out_of_bounds_or_twice_are_refused() -> None:
    with pytest.raises(UserError, match=r"aupro_limits is 30; allowed: above 0 to 1"):
        AnomalyMetrics((30,))
    with pytest.raises(UserError, match=r"aupro_limits holds 0\.3 twice"):
        AnomalyMetrics((0.3, 0.05, 0.3))


SHARES = [[[0, 3, 5], [1, 2, 4, 6]], [[], [0, 1, 2, 3, 4, 5, 6]]]  # [case][process] -> images


def shared_test_set() -> tuple[list[np.ndarray], list[np.ndarray]]:
    return random_test_set(np.random.default_rng(16), "ties", num_images=7)


def holding(images: list[int], **arguments: Any) -> AnomalyMetrics:
    maps, masks = shared_test_set()
    metrics = AnomalyMetrics(**arguments)
    if images:
        metrics.update([maps[i] for i in images], [masks[i] for i in images])
    return metrics


@pytest.mark.parametrize("shares", SHARES)
def test_gathered_states_give_the_values_of_all_images(shares: list[list[int]]) -> None:
    """The second process asks; a stand-in for the collective hands it the first one's states."""
    other = holding(shares[0])
    other.sync(distributed_available=lambda: False)  # an empty process fills in its dtypes
    calls = 0

    def gather(state: torch.Tensor, group: Any) -> list[torch.Tensor]:
        nonlocal calls
        theirs = torch.cat(getattr(other, list(STATES)[calls % len(STATES)]))
        calls += 1
        assert theirs.dtype == state.dtype
        return [theirs, state]

    metrics = holding(shares[1], dist_sync_fn=gather, distributed_available_fn=lambda: True)
    expected = evaluated(*shared_test_set())
    values = {name: float(v) for name, v in metrics.compute().items()}
    assert values == pytest.approx(values_of(*shared_test_set()), abs=1e-13)
    assert metrics.oracle() == expected.oracle()
    assert metrics.at_threshold(1.0, 1.0) == expected.at_threshold(1.0, 1.0)
    assert sum(map(len, metrics.metric_state["labels"])) == len(shares[1])  # its own again


def _worker(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    every = [holding(shares[rank]) for shares in SHARES]
    results = [(metrics.compute(), metrics.oracle()) for metrics in every]
    torch.save(results, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_real_processes_share_their_images_exactly(tmp_path: Path) -> None:
    spawn(_worker, args=(str(tmp_path),), nprocs=2)
    expected = values_of(*shared_test_set())
    for rank in range(2):
        for values, oracle in torch.load(tmp_path / f"{rank}.pt", weights_only=False):
            assert {k: float(v) for k, v in values.items()} == pytest.approx(expected, abs=1e-13)
            assert oracle == evaluated(*shared_test_set()).oracle()


def test_the_package_imports_without_torch() -> None:
    check = "import sys, cfa_lab.metrics as metrics; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="Metrics2"):
        _ = package.Metrics2
