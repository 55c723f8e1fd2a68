"""What stands below `hydra.sweeper` of a search."""

from dataclasses import dataclass
from typing import Any

from cfa_lab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    """A search's options, checked."""

    params: dict[str, str]
    metrics: list[str]
    directions: list[str]
    n_trials: int
    n_jobs: int
    sampler: dict[str, Any]
    storage: str | None
    study_name: str | None

    @classmethod
    def read(
        cls,
        *,
        params: dict[str, str] | None,
        metric: Any,
        direction: Any,
        n_trials: int,
        n_jobs: int,
        sampler: dict[str, Any],
        storage: str | None,
        study_name: str | None,
    ) -> "Options":
        """Raises UserError for what is not allowed."""
        metrics = [str(name) for name in (metric if isinstance(metric, list) else [metric])]
        directions = direction if isinstance(direction, list) else [direction] * len(metrics)
        for given in directions:
            if given not in ("maximize", "minimize"):
                raise UserError(
                    f"hydra.sweeper.direction is {given!r}; allowed: maximize, minimize"
                )
        if not metrics or len(metrics) != len(directions):
            raise UserError(
                f"hydra.sweeper.direction has {len(directions)} entries for {len(metrics)} "
                "metrics; give one for each"
            )
        for name, number in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if number < 1:
                raise UserError(f"hydra.sweeper.{name} is {number}; allowed: 1 or more")
        return cls(
            params=dict(params or {}),
            metrics=metrics,
            directions=list(directions),
            n_trials=n_trials,
            n_jobs=n_jobs,
            sampler=dict(sampler),
            storage=storage,
            study_name=study_name,
        )
