"""anomalib's CFA model on ready tensors; run by an environment that has anomalib, not by ours.

Arguments: backbone, size, batch size, repeats, threads. Prints seconds per image as JSON.
"""

import json
import statistics
import sys
import time


def main() -> None:
    backbone = sys.argv[1]
    size, batch_size, repeats, num_threads = map(int, sys.argv[2:6])

    import torch
    import torchvision

    class NoWeights:
        DEFAULT = None

    torchvision.models.get_model_weights = lambda name: NoWeights
    from anomalib.models.image.cfa.torch_model import CfaModel

    torch.set_num_threads(num_threads)
    torch.manual_seed(0)
    model = CfaModel(
        backbone=backbone,
        gamma_c=1,
        gamma_d=1,
        num_nearest_neighbors=3,
        num_hard_negative_features=3,
        radius=1e-5,
    ).eval()
    images = torch.randn(batch_size, 3, size, size)
    with torch.inference_mode():
        features = list(model.feature_extractor(images[:1]).values())
        phi = model.descriptor(features)  # (1, d, h, w)
        model.memory_bank = phi[0].flatten(1) + 0.1 * phi.std() * torch.randn_like(
            phi[0].flatten(1)
        )
        model.scale = phi.shape[-2:]
        model(images)
        seconds = []
        for _ in range(repeats):
            began = time.perf_counter()
            model(images)
            seconds.append((time.perf_counter() - began) / batch_size)
    print(json.dumps({"seconds": statistics.median(seconds)}))


if __name__ == "__main__":
    main()
