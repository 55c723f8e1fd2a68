"""Files taken in to files scored, batch by batch; one bad file never ends it."""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cfa_lab.deploy.intake import Intake
from cfa_lab.deploy.runtime import Runtime, Scored
from cfa_lab.errors import UserError


class Result(NamedTuple):
    """What became of one file: its score, or None and what is wrong."""

    intake: Intake
    scored: Scored | None
    seconds: float
    """Of the scoring alone, the batch's time by the number of its files."""
    error: str | None


def scored_batches(runtime: Runtime, taken: Iterable[list[Intake]]) -> Iterator[list[Result]]:
    """Score what was taken in: each file with its score, or None and what is wrong, and seconds.

    A batch in which a score is no number is scored again file by file, to find which one it was.
    """
    for batch in taken:
        good = [one for one in batch if one.error is None]
        began = time.perf_counter()
        results: dict[int, Scored | str] = {}
        try:
            found = runtime.score([one.inputs for one in good]) if good else []
            results = {id(one): scored for one, scored in zip(good, found, strict=True)}
        except UserError:
            for one in good:
                try:
                    results[id(one)] = runtime.score([one.inputs])[0]
                except UserError as error:
                    results[id(one)] = str(error)
        seconds = (time.perf_counter() - began) / max(1, len(good))
        yield [_told(one, results.get(id(one)), seconds) for one in batch]


def _told(one: Intake, result: Scored | str | None, seconds: float) -> Result:
    if isinstance(result, Scored):
        return Result(one, result, seconds, None)
    return Result(one, None, seconds, result or one.error)
