"""Data sets: folders as tables of samples, files as images and masks; `toy` makes one."""

from cfa_lab.data.geometry import Geometry, Placement
from cfa_lab.data.images import LoadedImage, decode_image, iterate_images, load_batch, load_image
from cfa_lab.data.layouts import LAYOUTS, Options, categories, read_samples
from cfa_lab.data.masks import load_mask, load_mask_channels, load_mask_values
from cfa_lab.data.samples import Sample, SampleTable

__all__ = [
    "LAYOUTS",
    "Geometry",
    "LoadedImage",
    "Options",
    "Placement",
    "Sample",
    "SampleTable",
    "categories",
    "decode_image",
    "iterate_images",
    "load_batch",
    "load_image",
    "load_mask",
    "load_mask_channels",
    "load_mask_values",
    "read_samples",
]
