"""Time as a device sees it: what it was told to do is done before the clock is read."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch


def now(device: torch.device) -> float:
    """Seconds of a clock without a date, once the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def median_seconds(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """The median of some times, after a first one that is not counted."""
    work()
    seconds = []
    for _ in range(repeats):
        began = now(device)
        work()
        seconds.append(now(device) - began)
    return median(seconds)
