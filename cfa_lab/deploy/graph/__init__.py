"""The whole of scoring as one graph without branches, for runtimes that know no Python.

Distances are found as everywhere here: products propose, differences decide. What differs is the
form, since an exported graph cannot look at its numbers and choose:

- The bank's mean is taken off both sides, in float64 and beforehand. Where features share an offset
  the products would cancel, which costs a little in float32 and everything in bf16.
- A product with the bank commutes with upsampling, as the descriptor does: each level meets the
  bank at its own resolution, with several times fewer multiplications.
- The nearest entries are looked for in the groups that have the lowest minima, some rows of patches
  at a time: no more than some megabytes of products exist at once, and they stay in the caches.
"""

from cfa_lab.deploy.graph.whole import ScoringGraph

__all__ = ["ScoringGraph"]
