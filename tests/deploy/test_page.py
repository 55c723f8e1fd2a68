"""The page on using a detector, done as it says."""

import re
import shutil
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"


def test_the_library_example_runs_as_it_stands(tiny_run, tiny_root, tmp_path, monkeypatch):
    shutil.copy(tiny_root / "square" / "test" / "spot" / "000.png", tmp_path / "part.png")
    (tmp_path / "RUN").symlink_to(tiny_run)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    exec(code, names)
    found = names["found"]
    assert found.scores.shape == (3,) and found.scores[0] == found.scores[1]
    assert [one.shape for one in found.maps] == [(40, 48), (40, 48), (480, 640)]
    assert found.decisions.tolist() == (
        (found.scores >= names["detector"].thresholds.image).astype(int).tolist()
    )
    assert np.isfinite(found.scores).all()
