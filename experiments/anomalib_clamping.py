"""anomalib's metrics of one PatchCore with its normalisation of scores on and off.

Run by an environment that has anomalib (2.7.0), not by ours, on a category in MVTec AD's folders:

    python experiments/anomalib_clamping.py ROOT CATEGORY

Normal validation images are taken from the training images, so that its threshold is the highest of
their scores. Random weights, nothing is downloaded; both runs have one seed, hence the same maps.
"""

import sys
import tempfile
from pathlib import Path


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        measure(linked(Path(sys.argv[1], sys.argv[2]), Path(made)))


def linked(category: Path, folder: Path) -> Path:
    """Links to the images by number, which anomalib's reader of folders can pair with masks."""
    parts = {"train": "train/good", "good": "test/good"}
    for name, part in parts.items():
        (folder / name).mkdir()
        for i, image in enumerate(sorted((category / part).iterdir())):
            (folder / name / f"{i:04}{image.suffix}").symlink_to(image.resolve())
    (folder / "defect").mkdir()
    (folder / "mask").mkdir()
    images = sorted(path for path in (category / "test").glob("*/*") if path.parent.name != "good")
    for i, image in enumerate(images):
        mask = category / "ground_truth" / image.parent.name / f"{image.stem}_mask.png"
        (folder / "defect" / f"{i:04}{image.suffix}").symlink_to(image.resolve())
        (folder / "mask" / f"{i:04}.png").symlink_to(mask.resolve())
    return folder


def measure(root: Path) -> None:
    import torch
    from anomalib.data import Folder
    from anomalib.engine import Engine
    from anomalib.metrics import AUPRO, AUROC, Evaluator
    from anomalib.models import Patchcore
    from anomalib.post_processing import PostProcessor
    from lightning.pytorch import seed_everything

    pixels = ["anomaly_map", "gt_mask"]
    for on in (True, False):
        seed_everything(0)
        model = Patchcore(
            backbone="resnet18",
            pre_trained=False,
            pre_processor=Patchcore.configure_pre_processor(image_size=(224, 224)),
            post_processor=PostProcessor(enable_normalization=on),
            evaluator=Evaluator(
                test_metrics=[
                    AUROC(fields=["pred_score", "gt_label"], prefix="image_"),
                    AUROC(fields=pixels, prefix="pixel_"),
                    AUPRO(fields=pixels, prefix="pixel_"),
                ]
            ),
            visualizer=False,
        )
        data = Folder(
            name="linked",
            root=root,
            normal_dir="train",
            normal_test_dir="good",
            abnormal_dir="defect",
            mask_dir="mask",
            train_batch_size=8,
            eval_batch_size=8,
            num_workers=0,
            val_split_mode="from_train",
            val_split_ratio=0.3,
            seed=0,
        )
        with tempfile.TemporaryDirectory() as folder:
            engine = Engine(max_epochs=1, accelerator="cpu", default_root_dir=folder)
            engine.fit(model=model, datamodule=data)
            (found,) = engine.test(model=model, datamodule=data)
        values = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        print(f"normalisation {'on' if on else 'off'}: {values}")
    print(f"torch {torch.__version__}")


if __name__ == "__main__":
    main()
