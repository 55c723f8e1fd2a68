from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cfa_lab.run.show import show_result


def test_every_limit_of_aupro_has_a_column_of_its_own(capsys):
    """0.1 and 1 were both shown as AUPRO@0.1, one over the other."""
    metrics = {"test/image_auroc": 0.9, "test/pixel_auroc": 0.8}
    metrics |= {"test/aupro_10": 0.25, "test/aupro_100": 0.75, "test/aupro_305": None}
    found: Any = SimpleNamespace(
        metrics=metrics, intervals={}, undefined={}, no_intervals={}, oracle={}
    )
    show_result(SimpleNamespace(evaluation=found, folder=Path("here"), figures=[]))
    head, images, pixels = capsys.readouterr().out.splitlines()[:3]
    assert head.split() == ["AUROC", "AUPRO@0.1", "AUPRO@1", "AUPRO@0.305"]
    assert images.split() == ["image", "0.9000"]
    assert pixels.split() == ["pixel", "0.8000", "0.2500", "0.7500", "-"]
