from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cfa_lab.metrics.families import LIMITED, LIMITED_BY_KIND, OF_RANKING
from cfa_lab.metrics.names import at_limit, limit_of, metric_name, of_and_heading

LIMITS = st.floats(0, 1, exclude_min=True) | st.sampled_from([10.0**-i for i in range(16)])


@pytest.mark.parametrize(
    "limit, name, shown",
    [
        (0.3, "aupro_30", "AUPRO@0.3"),
        (0.05, "aupro_05", "AUPRO@0.05"),
        (1.0, "aupro_100", "AUPRO@1"),
        (1, "aupro_100", "AUPRO@1"),
        (0.1, "aupro_10", "AUPRO@0.1"),
        (0.01, "aupro_01", "AUPRO@0.01"),
        (0.001, "aupro_001", "AUPRO@0.001"),
        (0.005, "aupro_005", "AUPRO@0.005"),
        (0.305, "aupro_305", "AUPRO@0.305"),
        (0.125, "aupro_125", "AUPRO@0.125"),
        (1e-13, "aupro_0000000000001", "AUPRO@0.0000000000001"),
        (0.1 + 0.2, "aupro_30000000000000004", "AUPRO@0.30000000000000004"),
    ],
)
def test_limits_and_their_names(limit: float, name: str, shown: str):
    assert at_limit("aupro", limit) == name
    assert limit_of(name) == limit
    assert metric_name(f"test/{name}") == shown


@given(limit=LIMITS)
@example(limit=5e-324)
def test_a_name_and_what_is_shown_give_the_limit_back(limit: float):
    name = at_limit("aupro", limit)
    assert limit_of(name) == limit
    assert float(metric_name(f"test/{name}").partition("@")[2]) == limit


def test_other_metrics_are_of_images_or_of_pixels():
    assert metric_name("test/pixel_auroc") == "pixel AUROC"
    assert metric_name("threshold/image_miss_rate") == "image miss rate"
    assert of_and_heading("test/image_f1max") == ("image", "F1max")
    assert of_and_heading("test/aupro_30") == ("pixel", "AUPRO@0.3")
    assert metric_name("test/spro_100") == "sPRO@1"
    assert metric_name("threshold/seg_f1") == "SegF1"


@pytest.mark.parametrize("family", [*OF_RANKING, *LIMITED, *LIMITED_BY_KIND])
def test_every_metric_stands_in_the_protocol_and_has_a_heading(family: str):
    ranked = family in OF_RANKING
    names = [f"image_{family}", f"pixel_{family}"] if ranked else [at_limit(family, 0.3)]
    protocol = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    for name in names:
        assert name in protocol if ranked else f"{family}_" in protocol
        heading = (OF_RANKING | LIMITED | LIMITED_BY_KIND)[family].heading
        assert heading in metric_name(name)
