"""What a job asks the cluster for, as lines of a batch script."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Options:
    """The keys below `hydra.launcher`; what is None is not asked for."""

    timeout_min: int = 240
    """Of each job."""
    cpus_per_task: int | None = None
    gpus_per_node: int | str | None = None
    mem_gb: float | None = None
    partition: str | None = None
    qos: str | None = None
    account: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    gres: str | None = None
    comment: str | None = None
    array_parallelism: int = 32
    """Jobs that run at once."""
    max_num_timeout: int = 3
    """How often a job is handed in again that reached its limit, but got on."""
    retries: int = 2
    """Likewise for one that lost its node or was killed."""
    poll_s: float = 5.0
    """Seconds between two questions to Slurm."""
    setup: list[str] = field(default_factory=list)
    """Shell lines before the job, such as `module load cuda`."""
    additional_parameters: dict[str, Any] = field(default_factory=dict)
    """Further options of `sbatch`, without their dashes."""

    def lines(self, *, name: str, size: int, output: str) -> list[str]:
        """The `#SBATCH` lines of an array of `size` jobs."""
        memory = None if self.mem_gb is None else f"{round(1024 * self.mem_gb)}M"
        asked: dict[str, Any] = {
            "job-name": name,
            "array": f"0-{size - 1}%{self.array_parallelism}",
            "output": output,
            "open-mode": "append",
            "requeue": True,
            "nodes": 1,
            "ntasks": 1,
            "time": self.timeout_min,
            "cpus-per-task": self.cpus_per_task,
            "gpus-per-node": self.gpus_per_node or None,
            "mem": memory,
            "partition": self.partition,
            "qos": self.qos,
            "account": self.account,
            "constraint": self.constraint,
            "exclude": self.exclude,
            "gres": self.gres,
            "comment": self.comment,
            **self.additional_parameters,
        }
        return [
            f"#SBATCH --{key}" + ("" if value is True else f"={value}")
            for key, value in asked.items()
            if value is not None and value is not False
        ]
