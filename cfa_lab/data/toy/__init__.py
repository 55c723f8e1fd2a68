"""A procedural data set with exact masks, for trying things out where no data are at hand."""

from cfa_lab.data.toy.layouts import write_toy_layout
from cfa_lab.data.toy.write import TOY_CATEGORIES, write_toy

__all__ = ["TOY_CATEGORIES", "write_toy", "write_toy_layout"]
