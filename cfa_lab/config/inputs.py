"""Keys that decide the features: backbone, data set, image and how features are kept."""

from dataclasses import asdict, dataclass
from typing import Any

from omegaconf import MISSING

from cfa_lab.errors import UserError
from cfa_lab.vocabulary import (
    ACTIVATIONS,
    DTYPES,
    INTERPOLATIONS,
    PADDINGS,
    PRECISIONS,
    RELEASES,
    RESIZES,
    none_or_within,
    one_of,
    rising_pair,
    within,
)


@dataclass(kw_only=True)
class BackboneSettings:
    """The frozen network whose maps are the features."""

    name: str = MISSING
    """What the run is called by; the option's name, any timm name with `backbone=timm`, or what you
    like with `backbone=custom`."""
    model: str = MISSING
    """timm's name of the architecture, or `package.module:function` for a network of your own."""
    layers: list[str] | None = MISSING
    """The maps taken, finest first; `a+b` concatenates two of one size; null takes those that suit
    the network's family (timm's only)."""
    weights: str = MISSING
    """`pretrained`, `random`, or the path of a .safetensors or .pth file."""
    release: str = MISSING
    """Which pretrained weights where there are two: `v1` or `v2`, keys of `tags`."""
    tags: dict[str, str] = MISSING
    """timm's tag of each release; empty for timm's own choice."""
    activation: str = MISSING
    """`relu` or `leaky`: ResNet maps after the activation, or before it through LeakyReLU(0.01)."""
    padding: str = MISSING
    """Of "same" convolutions (EfficientNets): `dynamic`, by the image at hand, or `static`, as for
    the size of training (the authors' EfficientNet-B5)."""
    norm: bool = MISSING
    """Whether a vision transformer's maps pass its final norm; others have no such choice."""
    dimension_factor: int = MISSING
    """Descriptor outputs per feature before gamma_d; the authors' EfficientNet-B5 has 2."""
    divide_by_channels: bool = MISSING
    """Divide each level by its number of channels (authors' EfficientNet-B5)."""

    def __post_init__(self) -> None:
        one_of("backbone.activation", self.activation, ACTIVATIONS)
        one_of("backbone.padding", self.padding, PADDINGS)
        one_of("backbone.release", self.release, RELEASES)
        within("backbone.dimension_factor", self.dimension_factor)
        if self.layers is not None and not self.layers:
            raise UserError("backbone.layers is empty; name at least one map, finest first")


@dataclass(kw_only=True)
class DatasetSettings:
    """Where the images are and which of them take part."""

    name: str = MISSING
    """What the data set is called in tables."""
    layout: str = MISSING
    """The folder layout: `auto` finds it out; docs/datasets.md has all; `toy` and `rd_mvtec` are
    made on first use."""
    root: str = MISSING
    """The folder that holds the categories, or one around it."""
    test_fraction: float = MISSING
    """Share of the normal images to test on where the data set has no split; 0 to < 1."""
    split: str | None = MISSING
    """Which of several official lists (VisA, Real-IAD); null takes the usual one."""
    images: str | None = MISSING
    """Folder of images where there are several sizes (Real-IAD), e.g. `realiad_256`."""
    index: str = MISSING
    """Name of the index file, for the layout `csv`."""
    normal: list[str] | None = MISSING
    """For the layout `folder`: folders of normal images; null looks for good, normal, ok,
    pass and free, in any letter case."""
    normal_test: list[str] = MISSING
    """Folders of normal images to test on; none draws `test_fraction` of the others."""
    defects: list[str] | None = MISSING
    """Folders of defect images, one per kind; null takes all other folders."""
    masks: str | None = MISSING
    """Folder of masks; null looks for ground_truth, masks, mask, gt and labels."""
    made: str | None = MISSING
    """For `rd_mvtec`: where the turned and cropped images are written."""
    draw_seed: int = MISSING
    """Seed of the turns and crops of `rd_mvtec`."""
    limit_train: int | None = MISSING
    """Use only this many training images, drawn by `subset_seed`; null uses all."""
    subset_seed: int = MISSING
    """Seed of every draw of images: subsets, held-out parts, splits that the data set lacks."""
    validation_fraction: float = MISSING
    """Share of the training images held out to set thresholds without anomalies; 0 to < 1."""

    def __post_init__(self) -> None:
        none_or_within("dataset.limit_train", self.limit_train)
        within("dataset.subset_seed", self.subset_seed)
        within("dataset.draw_seed", self.draw_seed)
        within("dataset.validation_fraction", self.validation_fraction)
        within("dataset.test_fraction", self.test_fraction)


@dataclass(kw_only=True)
class ImageSettings:
    """From an image file to the network's input."""

    resize: str = MISSING
    """`stretch` to height x width, `letterbox` into it, `shorter_side` to size, then crop, or
    `tile`: overlapping parts of height x width, nothing resized."""
    height: int = MISSING
    """Pixels."""
    width: int = MISSING
    """Pixels."""
    size: int | None = MISSING
    """Length of the shorter side in pixels, for `shorter_side`."""
    crop: int | None = MISSING
    """Side of the square cut from the middle, in pixels; null cuts nothing, or after
    `shorter_side` height x width."""
    interpolation: str = MISSING
    """`lanczos` (authors' code), `bilinear` or `bicubic`."""
    overlap: int = MISSING
    """Pixels that neighbouring tiles share at least, for `tile`."""
    bits: int | None = None
    """How many bits count in files of more than 8, 8 to 16; null takes what the files say, else as
    many as the largest value over the training images needs."""
    range: list[float] | None = None
    """The values that are black and white in such files, in place of bits: floating-point images
    need it, [0,1] say."""

    def __post_init__(self) -> None:
        one_of("image.resize", self.resize, RESIZES)
        one_of("image.interpolation", self.interpolation, INTERPOLATIONS)
        within("image.height", self.height)
        within("image.width", self.width)
        none_or_within("image.size", self.size)
        none_or_within("image.crop", self.crop)
        within("image.overlap", self.overlap)
        none_or_within("image.bits", self.bits)
        if self.range is not None:
            rising_pair("image.range", self.range)


@dataclass(kw_only=True)
class FeaturesSettings:
    """How backbone features are made and kept."""

    dtype: str = MISSING
    """Number type they are kept in: `half` or `float32`."""
    precision: str = MISSING
    """`exact`: float32 throughout; `fast`: products in bf16 where the hardware gains from it."""
    batch_size: int = MISSING
    """Images that pass the backbone at once; padded to this, so that rests round alike."""
    workers: int = MISSING
    """Threads that decode images."""
    cache: bool = MISSING
    """Keep features on disk, for all runs and processes."""
    folder: str = MISSING
    """Where they are kept."""
    max_gb: float = MISSING
    """The most they may take on disk, in 10^9 bytes; the least recently used go first."""
    memory_gb: float = MISSING
    """Training features up to this size, in 10^9 bytes, are held in memory (on a GPU, in its)."""

    def __post_init__(self) -> None:
        one_of("features.dtype", self.dtype, DTYPES)
        one_of("features.precision", self.precision, PRECISIONS)
        within("features.batch_size", self.batch_size)
        within("features.workers", self.workers)
        within("features.max_gb", self.max_gb)
        within("features.memory_gb", self.memory_gb)

    @property
    def extraction(self) -> dict[str, Any]:
        """The part that says how features are made, not where they are kept."""
        keeping = ("cache", "folder", "max_gb", "memory_gb")
        return {key: value for key, value in asdict(self).items() if key not in keeping}
