"""Exported files at work: broken images, threads, and a process without torch."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from helpers.exports import SUFFIXES, make_runtime, photographs

from cfa_lab.data.geometry import Geometry
from cfa_lab.deploy import exporting
from cfa_lab.deploy.exported import ExportedRuntime, reduce
from cfa_lab.deploy.exporting import export
from cfa_lab.errors import UserError

each_format = pytest.mark.parametrize("kind", SUFFIXES)


@pytest.fixture(
    scope="module",
    params=[
        "onnx",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("torch", "openvino")),
    ],
)
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return export(
        make_runtime(), folder, folder / f"model{SUFFIXES[request.param]}", kind=request.param
    )


def test_threads_share_a_runtime(exported):
    images = photographs(exported.description.image, [(64, 64)] * 6)
    alone = [exported.score([image])[0].score for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: exported.score([image])[0].score, images * 3))
    assert together == alone * 3


def test_a_score_depends_on_no_other_image(exported):
    images = photographs(exported.description.image, [(64, 64)] * 10)
    together = [one.score for one in exported.score(images)]
    assert together == [exported.score([image])[0].score for image in images]


@pytest.mark.slow
@each_format
def test_a_model_that_gives_no_number_never_scores(tmp_path, monkeypatch, kind):
    """Weights that overflow: in a runtime's hands NaN may become a number, and must not here."""
    runtime = make_runtime()
    network: Any = runtime.extractor.backbone.network
    images = photographs(runtime.description.image, [(64, 64)])
    monkeypatch.setattr(exporting, "judge", lambda *args, **kwargs: {})
    path = tmp_path / f"model{SUFFIXES[kind]}"
    assert np.isfinite(export(runtime, tmp_path, path, kind=kind).score(images)[0].score)
    network.bn1.weight *= 1e38
    broken = export(runtime, tmp_path, path, kind=kind)
    with pytest.raises(UserError, match="no finite score"):
        broken.score(images)


@pytest.mark.parametrize("where", ["score", "map"])
def test_a_result_that_is_no_number_is_refused(where):
    def infer(images):
        scores, maps = np.ones(len(images)), np.ones((len(images), 64, 64), dtype=np.float32)
        if where == "score":
            scores[-1] = np.inf
        else:
            maps[-1, 3, 4] = np.nan
        return scores, maps

    runtime = ExportedRuntime(
        description=make_runtime().description, arithmetic="", batch_size=2, infer=infer
    )
    with pytest.raises(UserError, match="finite"):
        runtime.score(photographs(runtime.description.image, [(64, 64)]))


@pytest.mark.parametrize(
    "scoring", [{"reducer": "max"}, {"reducer": "top_mean", "top_fraction": 0.1}]
)
def test_scores_never_look_at_letterbox_padding(scoring):
    geometry = Geometry(resize="letterbox", height=64, width=64)
    description = make_runtime(geometry=geometry, scoring=scoring).description
    (image,) = photographs(geometry, [(100, 50)])
    maps = np.arange(64 * 64, dtype=np.float32).reshape(1, 64, 64) / 4096
    runtime = ExportedRuntime(
        description=description,
        arithmetic="",
        batch_size=2,
        infer=lambda images: (np.full(len(images), 9.0), maps),
    )
    (found,) = runtime.score([image])
    _, left, _, width = image[0].placement.content
    assert width == 32
    assert found.score == reduce(maps[0, :, left : left + width], description.scoring) < 1


PREDICT = """
import sys
import numpy as np
from pathlib import Path
from PIL import Image
from cfa_lab.data.decoded import Decoded
from cfa_lab.data.inputs import inputs_of
from cfa_lab.deploy.load import open_runtime

runtime = open_runtime(Path(sys.argv[1]), num_threads=2)
for i in range(20):
    pixels = np.random.default_rng(i).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    image = Decoded(Image.fromarray(pixels))
    runtime.score([inputs_of(image, runtime.description.image)])
heavy = [name for name in ("torch", "timm", "scipy", "pandas") if name in sys.modules]
peak = next(r for r in open("/proc/self/status") if r.startswith("VmHWM")).split()[1]
print(heavy, int(peak) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_without_torch_and_below_600_megabytes(tmp_path, kind):
    """224 px and a bank as large as a mean map's, in a process of its own."""
    geometry = Geometry(resize="shorter_side", height=224, width=224, size=256)
    runtime = make_runtime(geometry=geometry, num_entries=3136)
    path = tmp_path / f"model{SUFFIXES[kind]}"
    export(runtime, tmp_path, path, kind=kind)
    command = [sys.executable, "-c", PREDICT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    heavy, megabytes = done.stdout.rsplit(maxsplit=1)
    assert heavy == "[]"
    assert float(megabytes) < 600
