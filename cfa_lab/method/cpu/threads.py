"""Independent pieces of CPU work side by side, each with its share of torch's threads.

Where a piece alternates between torch and compiled code, or its products are small, this is faster
than giving all threads to one piece after another: nobody waits at the end of every operation.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def side_by_side(
    work: Callable[[Piece], Result], pieces: Sequence[Piece], *, pool: str
) -> list[Result]:
    """The results of some work on each piece, in order; as many at once as torch has threads.

    `pool` names the threads; work that itself calls this needs a pool of another name.
    """
    num_threads = torch.get_num_threads()
    num_workers = min(num_threads, len(pieces))
    if num_workers <= 1:
        return [work(piece) for piece in pieces]

    def alone(piece: Piece) -> Result:
        torch.set_num_threads(num_threads // num_workers)  # of the calling thread
        try:
            return work(piece)
        finally:
            torch.set_num_threads(num_threads)  # what threads yet to come begin with

    return list(_threads(os.getpid(), pool, num_workers).map(alone, pieces))


@lru_cache(maxsize=4)  # threads do not survive a fork, so a child makes its own
def _threads(process: int, pool: str, num_workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_workers, thread_name_prefix=f"cfa_lab-{pool}")
