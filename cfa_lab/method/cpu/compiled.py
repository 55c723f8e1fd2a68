"""What the compiled CPU code shares: how it is compiled, and bf16 numbers as 16-bit integers.

numba and numpy know no bf16, so such tensors are handed over by their bits, as int16.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import torch
from llvmlite import ir
from numba.core import event, types
from numba.extending import intrinsic
from torch import Tensor

from cfa_lab.kernel_cache import kept_on_disk
from cfa_lab.progress import Phase, begin_phase, end_phase

SOURCES = sorted(Path(__file__).parent.glob("*.py"))
DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:12]


OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz"},
}
"""It holds no lock while it runs. Sums may be taken in any order, so that they are vectorised;
infinity and NaN keep their sense."""


class _Compiling(event.Listener):
    """Makes a phase of what numba compiles, functions that it meets on the way included."""

    def __init__(self) -> None:
        self._depth = 0
        self._phase: Phase | None = None

    def on_start(self, event: Any) -> None:
        if not self._depth:
            self._phase = begin_phase(Phase("compiling kernels, once"))
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if not self._depth and self._phase is not None:
            end_phase(self._phase)


event.register("numba:compile", _Compiling())  # a listener of no cost where nothing is compiled


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function for these types of arguments, kept for later processes.

    numba notices a change of a function's own file, but not of a file it calls: so the name under
    which it is kept holds a digest of them all.
    """
    function.__qualname__ += f"_{DIGEST}"
    return kept_on_disk(numba.njit(**OPTIONS)(function), function)


def inlined(function: Callable[..., Any]) -> Any:
    """Let a function be compiled into those that call it.

    For what is done for every row or patch: a call counts references to all arrays that it passes.
    """
    return numba.njit(inline="always", **OPTIONS)(function)


INT32 = ir.IntType(32)


def as_array(tensor: Tensor) -> Any:
    """A tensor as the compiled code takes it: bf16 by its bits."""
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def as_arrays(tensors: Any) -> Any:
    """A named tuple of tensors as one of arrays."""
    return type(tensors)(*map(as_array, tensors))


def _widen(context: Any, number: Any) -> Any:
    """A float as it is; of a 16-bit integer, the float32 whose upper half it is (bf16)."""
    if not isinstance(number, types.Integer):
        return number(number), lambda context, builder, signature, values: values[0]

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        upper = builder.shl(builder.zext(values[0], INT32), INT32(16))
        return builder.bitcast(upper, ir.FloatType())

    return types.float32(number), generate


def _narrow(context: Any, number: Any, like: Any) -> Any:
    """A float as it is, or as the bits of the nearest bf16 where `like` is a 16-bit integer."""
    if not isinstance(like, types.Integer):
        return number(number, like), lambda context, builder, signature, values: values[0]

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        bits = builder.bitcast(values[0], INT32)
        odd = builder.and_(builder.lshr(bits, INT32(16)), INT32(1))  # halves go to even numbers
        rounded = builder.add(bits, builder.add(odd, INT32(0x7FFF)))
        return builder.trunc(builder.lshr(rounded, INT32(16)), ir.IntType(16))

    return like(types.float32, like), generate


def _narrow_up(context: Any, number: Any, like: Any) -> Any:
    """A float as it is, or as the bits of a bf16 no smaller; for numbers of at least 0."""
    if not isinstance(like, types.Integer):
        return like(number, like), lambda context, builder, signature, values: context.cast(
            builder, values[0], number, like
        )

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        upper = builder.lshr(builder.bitcast(values[0], INT32), INT32(16))
        return builder.trunc(builder.add(upper, INT32(1)), ir.IntType(16))

    return like(types.float32, like), generate


widen: Any = intrinsic(_widen)
narrow: Any = intrinsic(_narrow)
narrow_up: Any = intrinsic(_narrow_up)
