"""Imports made without a look for garbage."""

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def importing() -> Generator[None]:
    """Import many modules without looking through them for garbage again and again.

    What they leave stays for good, so that later looks leave it out, too. Where nothing is imported
    any more, nothing is kept: it would be the garbage of the run before, a dozen MB each time.
    """
    looks, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:
            gc.freeze()
        if looks:
            gc.enable()
