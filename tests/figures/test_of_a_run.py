"""The figures of a real run: what it set and found is what they show."""

import json

import numpy as np
import pytest
from helpers.tiny import FIGURES
from PIL import ImageColor

from cfa_lab.figures.page import Page
from cfa_lab.figures.panels import THRESHOLD_COLOUR
from cfa_lab.records.figures import CASE_FIGURES, FALSE_POSITIVE, MISS
from cfa_lab.run.run import run


@pytest.fixture
def drawn(monkeypatch):
    """Charts and pages by the name of their file, kept instead of written; panels in a list."""
    from cfa_lab.run import outputs

    kept: dict = {"panels": []}
    monkeypatch.setattr(
        "cfa_lab.figures.charts.save", lambda figure, path: kept.update({path.name: figure})
    )
    monkeypatch.setattr(Page, "save", lambda page, path: kept.update({path.name: page}))

    def keeping(*args, **settings):
        panels, files = draw_figures(*args, **settings)
        kept["panels"] = panels
        return panels, files

    draw_figures = outputs.draw_figures
    monkeypatch.setattr(outputs, "draw_figures", keeping)
    return kept


def outlined(panels) -> bool:
    white = ImageColor.getrgb(THRESHOLD_COLOUR)
    return any((panel.overlay == white).all(axis=-1).any() for panel in panels)


def test_thresholds_that_were_set_are_marked_in_every_figure(tiny_config, tmp_path, drawn):
    config = tiny_config(FIGURES, "dataset.validation_fraction=0.4", "evaluation.threshold=mean_sd")
    run(config, tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    image, pixel = (found[f"threshold/{kind}_threshold"] for kind in ("image", "pixel"))
    for axes in drawn["scores.png"].axes:
        places = [np.unique(line.get_xdata()) for line in axes.lines]
        assert any(np.array_equal(place, [image]) for place in places)
    legend = drawn["scores.png"].axes[0].get_legend().get_texts()
    assert legend[-1].get_text() == f"Threshold {image:.4g}"
    for group in (FALSE_POSITIVE, MISS):
        words = [word.text for word in drawn[CASE_FIGURES[group].file].words]
        assert f"Scores from the pixel threshold {pixel:.4g}" in words
        assert f"Called defect from a score of {image:.4g}" in words
        scores = [panel.score for panel in drawn["panels"] if panel.group == group]
        called = [word.removeprefix("called ") for word in words if word.startswith("called")]
        assert called == ["defect" if score >= image else "normal" for score in scores]
    assert outlined(drawn["panels"])


def test_without_a_threshold_none_is_drawn(tiny_config, tmp_path, drawn):
    run(tiny_config(FIGURES), tmp_path)
    legend = drawn["scores.png"].axes[0].get_legend().get_texts()
    assert [text.get_text() for text in legend] == ["Normal (3)", "Defect (3)"]
    words = " ".join(word.text for word in drawn["misses.png"].words)
    assert "threshold" not in words and "called" not in words
    assert not outlined(drawn["panels"])
