"""anomalib's CFA from images to metrics; run by an environment that has anomalib, not by ours.

Arguments: root, category, backbone, size, epochs, folder. Prints seconds of fit and test as JSON.
"""

import json
import sys
import time


def main() -> None:
    root, category, backbone, size, epochs, folder = sys.argv[1:]

    import torchvision
    from anomalib.data import MVTecAD
    from anomalib.engine import Engine
    from anomalib.models import Cfa

    class NoWeights:
        DEFAULT = None

    torchvision.models.get_model_weights = lambda name: NoWeights
    model = Cfa(
        backbone=backbone,
        pre_processor=Cfa.configure_pre_processor(image_size=(int(size), int(size))),
        visualizer=False,
    )
    data = MVTecAD(
        root=root, category=category, train_batch_size=4, eval_batch_size=4, num_workers=0
    )
    engine = Engine(max_epochs=int(epochs), accelerator="cpu", default_root_dir=folder)
    began = time.perf_counter()
    engine.fit(model=model, datamodule=data)
    fit = time.perf_counter() - began
    began = time.perf_counter()
    engine.test(model=model, datamodule=data)
    test = time.perf_counter() - began
    print(json.dumps({"fit": fit, "test": test}))


if __name__ == "__main__":
    main()
