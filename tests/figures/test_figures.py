import dataclasses
import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cfa_lab.evaluation.summary import CURVES
from cfa_lab.figures import (
    Case,
    choose_cases,
    draw_cases,
    draw_curves,
    draw_score_histogram,
    draw_solution,
    draw_training,
    render_panel,
)
from cfa_lab.figures.charts import WIDTH
from cfa_lab.figures.gallery import (
    BAR,
    BAR_LEFT,
    CAPTION,
    CELL,
    GAP,
    HEAD,
    MARGIN,
    gallery,
)
from cfa_lab.figures.style import DOTS_PER_INCH, TEXT
from cfa_lab.records.figures import PICTURE_BOXES
from cfa_lab.records.history import ATTRACTION_AFTER
from cfa_lab.tracking import Curve, Panel

GREY = (214, 214, 214)
SCALED = ("train/loss", "train/attraction", "train/repulsion", "train/radius")


def prediction(label: int, score: float, path: str = "a") -> dict[str, Any]:
    return {"path": path, "label": label, "score": score}


def case(height: int = 40, width: int = 64) -> Case:
    """A case whose score grows from 0 on the left to 1 on the right."""
    rng = np.random.default_rng(0)
    mask = np.zeros((height, width), dtype=bool)
    mask[10:20, 30:50] = True
    return Case(
        path="tile/test/crack/007.png",
        label=1,
        defect="crack",
        score=1.0,
        image=rng.integers(0, 255, (height, width, 3), dtype=np.uint8),
        mask=mask,
        heat=np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1)),
    )


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, kept instead of written."""
    kept: list = []
    monkeypatch.setattr("cfa_lab.figures.charts.save", lambda figure, path: kept.append(figure))
    return kept


def test_the_worst_images_come_first_and_typical_ones_from_all_over_the_rest():
    scores = [(0, 0.1), (0, 0.9), (0, 0.5), (1, 0.2), (1, 0.8), (1, 0.7), (0, 0.3), (1, 0.95)]
    predictions = [prediction(label, score) for label, score in scores]
    assert choose_cases(predictions, num_each=2) == {
        "false positive": [1, 2],
        "miss": [3, 5],
        "typical": [6, 7],  # of 0 (0.1), 6 (0.3), 4 (0.8), 7 (0.95)
    }
    assert choose_cases(predictions, num_each=1) == {
        "false positive": [1],
        "miss": [3],
        "typical": [5],  # the fourth of six by rank
    }


@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(-1, 1).map(lambda x: round(x, 1)))),
    st.integers(0, 8),
    st.randoms(use_true_random=False),
)
def test_chosen_cases_are_distinct_well_ranked_and_independent_of_the_order(
    labels_and_scores, num_each, random
):
    predictions = [
        prediction(label, score, f"{number:03d}.png")
        for number, (label, score) in enumerate(labels_and_scores)
    ]
    chosen = choose_cases(predictions, num_each=num_each)
    indices = [index for group in chosen.values() for index in group]
    assert len(indices) == len(set(indices))
    normal = sorted((p["score"] for p in predictions if p["label"] == 0), reverse=True)
    defect = sorted(p["score"] for p in predictions if p["label"] == 1)
    assert [predictions[i]["score"] for i in chosen["false positive"]] == normal[:num_each]
    assert [predictions[i]["score"] for i in chosen["miss"]] == defect[:num_each]
    left = len(predictions) - len(chosen["false positive"]) - len(chosen["miss"])
    assert len(chosen["typical"]) == min(num_each, left)

    shuffled = predictions.copy()
    random.shuffle(shuffled)
    again = choose_cases(shuffled, num_each=num_each)
    for group in chosen:
        paths = [predictions[i]["path"] for i in chosen[group]]
        assert [shuffled[i]["path"] for i in again[group]] == paths


@pytest.mark.parametrize(("height", "width"), [(40, 64), (700, 20), (1, 1), (3, 3000)])
def test_a_panel_has_uint8_pictures_of_one_size(height, width):
    given_case = dataclasses.replace(
        case(),
        image=np.zeros((height, width, 3), dtype=np.uint8),
        mask=np.ones((height, width), dtype=bool),
        heat=np.zeros((height, width), dtype=np.float32),
    )
    panel = render_panel(given_case, "miss", low=0, high=1, longest_side=96)
    assert panel.mask is not None
    shape = panel.mask.shape
    assert max(shape) == 96 and min(shape) == max(
        1, round(96 * min(height, width) / max(height, width))
    )
    for picture in (panel.image, panel.heat, panel.overlay):
        assert picture.shape == (*shape, 3) and picture.dtype == np.uint8
    assert panel.mask.dtype == bool and panel.mask.all()
    assert (panel.group, panel.path, panel.score) == ("miss", given_case.path, 1.0)


def test_the_colour_of_a_score_depends_on_the_scale_only():
    half = dataclasses.replace(case(), heat=np.full((40, 64), 0.5, dtype=np.float32))
    colour = render_panel(half, "miss", low=0, high=1).heat[0, 0]
    moved = dataclasses.replace(half, heat=half.heat * 10 + 3)
    assert (render_panel(moved, "miss", low=3, high=13).heat == colour).all()
    above = dataclasses.replace(half, heat=half.heat + 9)
    top = dataclasses.replace(half, heat=np.ones_like(half.heat))
    ends = [render_panel(c, "miss", low=0, high=1).heat for c in (above, top)]
    assert (ends[0] == ends[1]).all()
    assert (ends[0] != colour).any()


def test_brightness_of_the_heat_map_rises_with_the_score():
    panel = render_panel(case(), "miss", low=0, high=1)
    luminance = panel.heat[0].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) >= -1).all() and luminance[-1] - luminance[0] > 200


@pytest.mark.parametrize("level", [0.0, -2.5, 1e30])
def test_a_constant_map_on_a_scale_without_extent_is_drawn_at_its_low_end(level):
    flat = dataclasses.replace(case(), heat=np.full((40, 64), level, dtype=np.float32), mask=None)
    panel = render_panel(flat, "typical", low=level, high=level)
    low_end = render_panel(dataclasses.replace(flat, heat=flat.heat * 0), "typical", low=0, high=1)
    assert (panel.heat == low_end.heat).all()
    assert (panel.overlay == panel.image).all()


def test_outside_the_scored_window_the_map_is_grey_and_the_overlay_is_the_image():
    heat = case().heat.copy()
    heat[:, :16] = np.nan
    panel = render_panel(dataclasses.replace(case(), heat=heat, mask=None), "miss", low=0, high=1)
    assert (panel.heat[:, :90] == GREY).all()
    assert (panel.overlay[:, :90] == panel.image[:, :90]).all()
    assert not (panel.heat[:, 102:] == GREY).all(axis=-1).any()
    nothing = dataclasses.replace(case(), heat=np.full_like(heat, np.nan))
    assert (render_panel(nothing, "miss", low=0, high=1).heat == GREY).all()


def test_a_defect_of_one_pixel_survives_scaling_down_and_is_outlined():
    large = case(900, 1200)
    mask = np.zeros((900, 1200), dtype=bool)
    mask[450, 600] = True
    flat = dataclasses.replace(large, mask=mask, heat=np.zeros((900, 1200), dtype=np.float32))
    panel = render_panel(flat, "miss", low=0, high=1)
    assert panel.mask is not None and panel.mask.sum() >= 1
    changed = (panel.overlay != panel.image).any(axis=-1)
    assert changed[panel.mask].sum() == 0, "the outline must not cover the defect"
    rows, columns = np.nonzero(changed)
    assert 0 < changed.sum() < 60
    assert abs(rows.mean() - 144) < 3 and abs(columns.mean() - 192) < 3


def test_a_threshold_outlines_the_scores_from_it_upwards():
    plain, outlined = (
        render_panel(dataclasses.replace(case(), mask=None), "miss", low=0, high=1, threshold=value)
        for value in (None, 0.75)
    )
    columns = np.nonzero((plain.overlay != outlined.overlay).any(axis=(0, 2)))[0]
    width = plain.overlay.shape[1]
    assert columns.min() > 0.75 * width - 10 and columns.max() < 0.75 * width + 10
    assert (plain.heat == outlined.heat).all()


@pytest.mark.parametrize(("threshold", "is_outlined"), [(0.5, True), (0.5001, False)])
def test_a_score_at_the_threshold_is_inside_its_outline(threshold, is_outlined):
    heat = np.zeros((64, 64), dtype=np.float32)
    heat[16:48, 16:48] = 0.5
    square = dataclasses.replace(
        case(), heat=heat, mask=None, image=np.zeros((64, 64, 3), np.uint8)
    )
    overlay = render_panel(square, "miss", low=0, high=1, threshold=threshold).overlay
    assert (overlay == 255).all(axis=-1).any() == is_outlined


def two_panels(threshold: float | None = None) -> list[Panel]:
    other = dataclasses.replace(case(), mask=None, label=0, defect="good", score=0.12345)
    return [render_panel(c, "miss", low=0, high=1, threshold=threshold) for c in (case(), other)]


def test_a_gallery_has_a_row_per_panel_with_its_caption():
    panels = two_panels()
    page = gallery(panels, title="Misses", low=0, high=1)
    texts = [word.text for word in page.words]
    assert texts[:5] == ["Misses", "Image", "Ground truth", "Anomaly map", "Overlay"]
    assert {"crack", "score 1", "score 0.1235", "007.png", "tile/test/crack", "no defect"} <= {
        *texts
    }
    assert not any("threshold" in text or "called" in text for text in texts)
    pixels = np.asarray(page.picture).astype(float)
    size = pixels.shape[1] / page.width
    for row, panel in enumerate(panels):
        truth = np.full(panel.image.shape, 227)
        if panel.mask is not None:
            truth = np.where(panel.mask[..., None], 255, 26) + np.zeros(3)
        for column, expected in enumerate((panel.image, truth, panel.heat, panel.overlay)):
            left, top = (
                (MARGIN + CAPTION + column * (CELL + GAP)),
                HEAD + row * (CELL * 0.625 + GAP),
            )
            box = [round(size * at) for at in (top, top + CELL * 0.625, left, left + CELL)]
            shown = pixels[box[0] : box[1], box[2] : box[3]]
            assert shown.mean(axis=(0, 1)) == pytest.approx(expected.mean(axis=(0, 1)), abs=4)


def test_a_saved_gallery_says_where_its_pictures_are(tmp_path: Path):
    """A dark page leaves these as they are; the plain field of a normal image is none of them."""
    page = gallery(two_panels(), title="Misses", low=0, high=1)
    page.save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as saved:
        boxes = json.loads(saved.info[PICTURE_BOXES])
        pixels = np.array(saved)
    assert len(boxes) == 4 + 3 + 1, "and the colour bar"
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = 255
    ground = pixels.reshape(-1, 3)
    assert (ground == 227).all(axis=1).sum() > 1000, "no defect"
    assert np.abs(np.diff(ground.astype(int), axis=1)).max(axis=1).astype(bool).mean() < 0.01


def test_a_gallery_says_what_images_are_called_and_where_pixels_are_outlined():
    """A score at the threshold is a defect's: the second panel is a false alarm, in colour."""
    page = gallery(
        two_panels(0.75),
        title="Misses",
        low=0,
        high=1,
        image_threshold=0.12345,
        pixel_threshold=0.75,
    )
    called = [word for word in page.words if word.text.startswith("called")]
    assert [word.text for word in called] == ["called defect", "called defect"]
    assert called[0].colour != called[1].colour
    above = gallery(two_panels(), title="", low=0, high=1, image_threshold=1.5)
    called = [word.text for word in above.words if word.text.startswith("called")]
    assert called == ["called normal", "called normal"]
    texts = " ".join(word.text for word in page.words)
    assert "pixel threshold 0.75" in texts and "from a score of 0.1235" in texts
    bar = np.asarray(page.picture)[:, round((BAR_LEFT + BAR / 2) * DOTS_PER_INCH)]
    height = 2 * CELL * 0.625 + GAP
    (rows,) = np.nonzero((bar[: round((HEAD + height) * DOTS_PER_INCH)] == 255).all(axis=-1))
    rows = rows[rows >= HEAD * DOTS_PER_INCH]
    assert rows.mean() / DOTS_PER_INCH == pytest.approx(HEAD + height / 4, abs=0.02)


def test_no_part_of_a_gallery_lies_outside_the_page():
    long = dataclasses.replace(
        case(300, 100), defect="an_unusually_long_defect_name", path="W" * 60 + "/" + "W" * 60
    )
    panels = [render_panel(c, "miss", low=-1e5, high=1e5) for c in (long, case(20, 900))]
    page = gallery(
        panels, title="M", low=-1e5, high=1e5, image_threshold=-12345.6, pixel_threshold=-12345.6
    )
    width, height = page.picture.size
    for text, (left, top, right, bottom), _ in page.words:
        assert 0 <= left < right < width and 0 <= top < bottom < height, text
    pixels = np.asarray(page.picture)
    for rim in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (rim == 255).all()
    captions = [word for word in page.words[1:] if word.box[0] < MARGIN * 1.1 * DOTS_PER_INCH]
    assert len(captions) == 10
    assert all(word.box[2] < (MARGIN + CAPTION) * DOTS_PER_INCH for word in captions)


def open_picture(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
    return picture


def test_figures_are_written_completely_twice_the_same_and_without_global_state(tmp_path):
    import matplotlib

    settings = dict(matplotlib.rcParams)
    strange = dataclasses.replace(case(), path="日本/$\\frac{$/ü_$1.png", defect="$x^")
    panels = [render_panel(strange, "miss", low=0, high=0)]
    for folder in ("one", "two"):
        draw_cases(panels, tmp_path / folder / "cases.png", title="$_$", low=0, high=0)
        draw_cases([], tmp_path / folder / "none.png", title="None", low=0, high=1)
    for name in ("cases.png", "none.png"):
        first, second = (tmp_path / folder / name for folder in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
        assert open_picture(first).width > 1000
    assert len(list((tmp_path / "one").iterdir())) == 2, "a partial file is left"
    assert dict(matplotlib.rcParams) == settings


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_the_suffix_chooses_the_format(tmp_path, suffix):
    draw_curves({}, tmp_path / f"curves.{suffix}")
    magic = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xm"}[suffix]
    assert (tmp_path / f"curves.{suffix}").read_bytes().startswith(magic)


@pytest.mark.parametrize(
    "scores",
    [
        {0: [0.1, 0.2, 0.2], 1: [0.2, 0.9]},
        {0: [0.5], 1: []},
        {0: [], 1: [-3.0, 1e6]},
        {0: [], 1: []},
    ],
)
def test_the_histogram_counts_every_image_once(figures, tmp_path, scores):
    predictions = [prediction(label, score) for label in (0, 1) for score in scores[label]]
    draw_score_histogram(predictions, tmp_path / "x.png", threshold=0.3)
    counts, ticks = figures[0].axes
    filled = [patch for patch in counts.patches if patch.get_fill()]
    assert [patch.get_data().values.sum() for patch in filled] == [len(scores[0]), len(scores[1])]
    for label, line in enumerate(ticks.lines[:2]):
        assert list(line.get_xdata()) == scores[label]
    legend = [text.get_text() for text in counts.get_legend().get_texts()]
    assert legend == [f"Normal ({len(scores[0])})", f"Defect ({len(scores[1])})", "Threshold 0.3"]


def history(num_steps: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": step // 10,
            "step": step,
            "train/loss": 1000 / (step + 1),
            "train/attraction": 900 / (step + 1),
            "train/repulsion": 100 / (step + 1),
            "train/radius": 0.01 * step,
            "train/active_attraction": 0.75,
            "train/active_repulsion": 0.0,
        }
        for step in range(num_steps)
    ]


@pytest.mark.parametrize("as_table", [False, True])
def test_training_shows_loss_radius_and_active_shares(figures, tmp_path, as_table):
    rows = history(200)
    draw_training(pd.DataFrame(rows) if as_table else rows, tmp_path / "x.png", sqrt_alpha=0.3)
    loss, radius, active = figures[0].axes
    trace, bound = radius.lines
    np.testing.assert_array_equal(trace.get_ydata(), [row["train/radius"] for row in rows])
    np.testing.assert_allclose(bound.get_ydata(), 0.3)
    assert loss.get_yscale() == "log"
    steps = [line for line in loss.lines if line.get_alpha()]
    for line, term in zip(steps, ("loss", "attraction", "repulsion"), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), [row[f"train/{term}"] for row in rows])
    means = [line for line in active.lines if not line.get_alpha()]
    np.testing.assert_allclose(means[0].get_ydata(), 0.75)
    np.testing.assert_allclose(means[1].get_ydata(), 0.0)


def test_strong_lines_are_sliding_means_of_what_is_a_number(figures, tmp_path):
    rows = history(300)
    losses = np.random.default_rng(0).random(300)
    losses[100:110] = np.nan
    for row, loss in zip(rows, losses, strict=True):
        row["train/loss"] = loss
    draw_training(rows, tmp_path / "x.png")
    mean = next(line for line in figures[0].axes[0].lines if not line.get_alpha())
    expected = pd.Series(losses).rolling(5, center=True, min_periods=1).mean()
    np.testing.assert_array_equal(mean.get_xdata(), np.arange(300))
    np.testing.assert_allclose(mean.get_ydata(), expected)


@pytest.mark.parametrize("num_steps", [0, 1, 2])
@pytest.mark.parametrize("loss", [0.0, float("nan"), 5.0])
def test_training_can_be_drawn_however_short_or_odd(tmp_path, num_steps, loss):
    rows = [row | {"train/loss": loss} for row in history(num_steps)]
    draw_training(rows, tmp_path / "x.png")
    assert open_picture(tmp_path / "x.png").width == WIDTH * DOTS_PER_INCH


@pytest.mark.parametrize(("num_curves", "num_axes"), [(0, 1), (1, 1), (3, 3), (4, 6)])
def test_curves_stand_three_to_a_row(figures, tmp_path, num_curves, num_axes):
    x = np.linspace(0, 1, 5)
    curves = {
        f"curve {n}": Curve(x=x, y=x**n, x_label="Recall", y_label="Precision", title=f"Curve {n}")
        for n in range(num_curves)
    }
    draw_curves(curves, tmp_path / "x.png")
    axes = figures[0].axes
    assert len(axes) == num_axes
    for part, curve in zip(axes, curves.values(), strict=False):
        np.testing.assert_array_equal(part.lines[0].get_xydata(), np.stack([curve.x, curve.y], 1))
        assert part.get_title(loc="left") == curve.title
        assert (part.get_xlabel(), part.get_ylabel()) == ("Recall", "Precision")


def assert_apart_and_on_the_page(figure) -> None:
    """No part of a chart lies outside the page, nor, titles aside, on another chart."""
    figure.canvas.draw()
    boxes = [axes.get_tightbbox() for axes in figure.axes if axes.axison]
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0, box
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, box
    for one, other in combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1)), (one, other)
    for axes in figure.axes:
        assert_words_apart(figure, axes)


def assert_words_apart(figure, axes) -> None:
    """No title, legend, label of an axis or of a bar lies on another, or is cut off by the page."""
    legend = axes.get_legend()
    words = [axes._left_title, axes.xaxis.label, *axes.texts]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticklabels() if low <= tick.get_position()[0] <= high]
    words = [word for word in (*words, *ticks) if word.get_visible() and word.get_text()]
    boxes = [word.get_window_extent() for word in (*words, *filter(None, [legend]))]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes), words
    for one, other in combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1)), (axes, one, other)


@pytest.mark.parametrize("scale", [1e-7, 0.01, 1.0, 123456.0, 208361.0])
def test_charts_of_any_scale_stay_apart_and_on_the_page(figures, tmp_path, scale):
    scores = np.random.default_rng(0).random(20_000) * scale
    predictions = [prediction(i % 2, score) for i, score in enumerate(scores)]
    draw_score_histogram(predictions, tmp_path / "x.png", threshold=scale)
    rows = [{k: v * scale if k in SCALED else v for k, v in r.items()} for r in history(200)]
    draw_training(rows, tmp_path / "x.png", sqrt_alpha=scale)
    draw_solution({"train/attraction": scale, ATTRACTION_AFTER: scale / 3}, tmp_path / "x.png")
    x = np.linspace(0, 1, 5)
    names = [*CURVES.values(), ("Distances", "distance to the nearest bank entry", "share")]
    curves = {
        title: Curve(x=x * scale, y=x * scale, x_label=x_label, y_label=y_label, title=title)
        for title, x_label, y_label in names
    }
    draw_curves(curves, tmp_path / "x.png")
    assert len(figures) == 4
    for figure in figures:
        assert_apart_and_on_the_page(figure)


def test_matplotlib_is_loaded_on_first_use_and_neither_pyplot_nor_pandas_ever(tmp_path):
    code = """
import sys
from pathlib import Path
import cfa_lab.figures
print("torch" in sys.modules, "matplotlib" in sys.modules)
cfa_lab.figures.draw_curves({}, Path(sys.argv[1]))
cfa_lab.figures.draw_training([], Path(sys.argv[1]))
print("matplotlib" in sys.modules, *({"matplotlib.pyplot", "pandas"} & sys.modules.keys()))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "curves.png")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False", "True"]


def test_a_solution_is_drawn_as_attraction_before_and_after(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr("cfa_lab.figures.charts.save", lambda figure, path: kept.append(figure))
    row = {"train/attraction": 8.0, "train/attraction_after": 2.0}
    draw_solution(row, tmp_path / "x.png")
    (axes,) = kept[0].axes
    assert {text.get_fontsize() for text in axes.texts} == {TEXT}
    assert [bar.get_width() for bar in axes.patches] == [8.0, 2.0]
    assert "Solved in one pass" in (axes.get_title(), axes.get_title(loc="left"))
