"""Frames of one burst on both sides are told; parts that are merely alike are not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from cfa_lab.data.samples import Sample
from cfa_lab.data.toy import write_toy
from cfa_lab.doctor.facts import image_facts
from cfa_lab.doctor.near import near_duplicates

RNG = np.random.default_rng(5)


def texture(seed: int) -> np.ndarray:
    values = gaussian_filter(np.random.default_rng(seed).standard_normal((200, 200)), 7)
    return 128 + 40 * values / values.std()


def frame(pixels: np.ndarray) -> np.ndarray:
    """The next of a burst: a pixel on, and with the sensor's noise."""
    return np.roll(pixels, (1, 1), (0, 1)) + RNG.normal(0, 3, pixels.shape)


def findings(folder: Path, images: dict[str, np.ndarray]) -> list[str]:
    samples, facts = [], {}
    for name, pixels in images.items():
        path = folder / f"{name}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        samples.append(Sample(path=name, split=name.split("-")[0], label=0, defect="good"))
        facts[name] = image_facts(path)
    return [finding.text for finding in near_duplicates(samples, facts)]


def test_frames_of_a_burst_in_training_and_test_are_told(tmp_path: Path):
    images = {f"train-{i}": texture(i) for i in range(8)}
    images |= {f"test-{i}": texture(100 + i) for i in range(4)}
    assert findings(tmp_path, images) == []
    images |= {"test-8": frame(images["train-2"]), "validation-9": frame(images["train-5"])}
    (line,) = findings(tmp_path, images)
    assert "2 images to test or validate on look like one to train on" in line
    assert "test-8 ~ train-2, validation-9 ~ train-5" in line


def test_equal_ones_and_those_of_one_colour_are_left_to_others(tmp_path: Path):
    images = {f"train-{i}": texture(i) for i in range(4)} | {"train-9": np.full((200, 200), 7.0)}
    images |= {
        "test-0": images["train-0"],
        "test-9": np.full((200, 200), 7.0),
        "test-1": texture(50),
    }
    assert findings(tmp_path, images) == []
    assert findings(tmp_path, {"train-0": texture(0)}) == []


@pytest.mark.parametrize(
    "category",
    ["gear", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hide", "weave"))],
)
def test_parts_that_are_merely_alike_are_not_told(tmp_path: Path, category: str):
    write_toy(tmp_path)
    samples = [
        Sample(str(path.relative_to(tmp_path)), path.parts[-3], 0, "good")
        for part in ("train/good", "test/*")
        for path in sorted((tmp_path / category).glob(f"{part}/*.png"))
    ]
    facts = {sample.path: image_facts(tmp_path / sample.path) for sample in samples}
    assert not [*near_duplicates(samples, facts)]
