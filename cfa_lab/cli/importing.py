"""Imports made without a look for garbage."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def importing() -> Generator[None]:
    """Import many modules without looking through them for garbage again and again.

    What they leave stays for good, so that later looks leave it out, too.
    """
    looks = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if looks:
            gc.enable()
