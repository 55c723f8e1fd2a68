"""anomalib's own OpenVINO export of CFA; run by an environment that has anomalib, not by ours.

Arguments: backbone, size, batch size, repeats, threads, folder. Prints seconds per image as JSON.
Float32 is asked for; OpenVINO's own choice, and so anomalib's, is bf16 where the CPU has AMX.
"""

import json
import statistics
import sys
import time
from pathlib import Path


def main() -> None:
    backbone = sys.argv[1]
    size, batch_size, repeats, num_threads = map(int, sys.argv[2:6])
    folder = Path(sys.argv[6])

    import numpy as np
    import openvino
    import torch
    import torchvision

    class NoWeights:
        DEFAULT = None

    torchvision.models.get_model_weights = lambda name: NoWeights
    from anomalib.models import Cfa

    supported = backbone in ("resnet18", "wide_resnet50_2")
    torch.manual_seed(0)
    cfa = Cfa(
        backbone=backbone if supported else "resnet18",
        pre_processor=Cfa.configure_pre_processor(image_size=(size, size)),
        visualizer=False,
    )
    model = cfa.model.eval()
    if not supported:
        _put_in(model, backbone)
    with torch.no_grad():
        phi = model.descriptor(
            list(model.feature_extractor(torch.randn(1, 3, size, size)).values())
        )
    bank = phi[0].flatten(1)
    model.memory_bank = bank + 0.1 * bank.std() * torch.randn_like(bank)
    model.scale = phi.shape[-2:]
    path = cfa.to_openvino(folder, input_size=(size, size))

    images = np.random.default_rng(0).random((batch_size, 3, size, size), dtype=np.float32)
    core = openvino.Core()
    read = core.read_model(path)
    read.reshape(list(images.shape))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": num_threads}
    request = core.compile_model(read, "CPU", settings).create_infer_request()
    request.infer([images])
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        request.infer([images])
        seconds.append((time.perf_counter() - began) / batch_size)
    print(json.dumps({"seconds": statistics.median(seconds)}))


def _put_in(model, backbone: str) -> None:
    """Let anomalib's model look through a timm network that it does not know."""
    import timm
    import torch
    from anomalib.models.image.cfa.torch_model import CoordConv2d

    class Levels(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = timm.create_model(backbone, features_only=True, out_indices=(1, 2, 3))

        def forward(self, images):
            return dict(enumerate(self.network(images)))

    model.feature_extractor = Levels().eval()
    dimension = sum(model.feature_extractor.network.feature_info.channels())
    model.descriptor.layer = CoordConv2d(dimension, dimension, kernel_size=1).eval()


if __name__ == "__main__":
    main()
