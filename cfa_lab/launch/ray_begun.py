"""Which jobs that Ray has are running: each notes itself in a book, an actor, as it begins.

Ray tells those that run from those that wait by its dashboard only, which few clusters have.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from cfa_lab.launch.task import perform

Mark = tuple[int, int]
"""Number of a job, and how often it was lost before."""


class Book:
    """The marks of jobs that have begun, as they come in; Ray holds it as an actor."""

    def __init__(self) -> None:
        self._marks: list[Mark] = []

    def note(self, mark: Mark) -> None:
        """A job begins."""
        self._marks.append(mark)

    def since(self, count: int) -> list[Mark]:
        """All but the first marks."""
        return self._marks[count:]


def begin(call: bytes, book: Any, mark: Mark) -> bytes:
    """Make a packed call on a node, once it is noted that it begins; nobody waits for the note."""
    book.note.remote(mark)
    return perform(call)


class Begun:
    """The book as the command sees it, which never waits for it."""

    def __init__(self, ray: Any):
        self._ray = ray
        self.book = _beside_the_command(ray).remote()
        self._marks: set[Mark] | None = None
        self._seen = 0
        self._answer = self.book.since.remote(0)

    def look(self) -> set[Mark] | None:
        """The marks so far; None where the book is not there yet, or was lost with its node."""
        if self._answer is not None and self._ray.wait([self._answer], timeout=0)[0]:
            try:
                new = self._ray.get(self._answer)
                self._seen += len(new)
                self._marks = {*(self._marks or ()), *new}
                self._answer = self.book.since.remote(self._seen)
            except self._ray.exceptions.RayError:
                self._marks = self._answer = None
        return self._marks


def _beside_the_command(ray: Any) -> Any:
    """What makes a book on the node to which the command is connected: that one is not lost."""
    strategies = import_module("ray.util.scheduling_strategies")
    here = strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=True
    )
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Book)


def why_waiting(ray: Any, asked: Mapping[str, float]) -> str:
    """What jobs wait for, in brackets behind a blank; empty where all that they ask is free."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    free = ray.available_resources()
    for kind, amount in asked.items():
        if amount and all(node.get(kind, 0) < amount for node in nodes):
            return f" (no node has {amount:g} {kind})"
        if amount and free.get(kind, 0) < amount:
            return f" (no {kind} free)"
    return ""
