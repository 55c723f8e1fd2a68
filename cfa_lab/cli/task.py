"""One Hydra job: a single run, or one of many."""

import logging
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cfa_lab.cli.messages import describe
from cfa_lab.cli.schema import to_config
from cfa_lab.files import write_atomically

log = logging.getLogger(__name__)

failure: tuple[BaseException, Path] | None = None
"""What ended a single run, kept past Hydra, which would print its own account of it."""


def job(cfg: DictConfig) -> float | None:
    """One Hydra job; returns image AUROC, the number that sweepers optimise."""
    global failure
    folder = Path(HydraConfig.get().runtime.output_dir)
    hydra_config = HydraConfig.instance().cfg
    try:
        config = to_config(cfg)
        from cfa_lab.run import run

        result = run(config, folder, on_begin=lambda: save_settings(folder, cfg, hydra_config))
    except (Exception, KeyboardInterrupt) as error:
        remove_if_empty(folder)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            log.error("%s failed: %s", folder.name, describe(error))
            raise
        failure = (error, folder)
        return None
    from cfa_lab.results.show import show_result

    show_result(result)
    return result.evaluation.metrics["test/image_auroc"]


def save_settings(folder: Path, cfg: DictConfig, hydra_config: Any) -> None:
    """Write `.hydra/` as Hydra does, but not before training begins, and only the first time."""
    target = folder / ".hydra"
    if (target / "overrides.yaml").is_file():
        return
    target.mkdir(exist_ok=True)
    task = [a for a in hydra_config.hydra.overrides.task if not a.startswith("resume=")]
    write_atomically(target / "config.yaml", OmegaConf.to_yaml(cfg))
    write_atomically(
        target / "hydra.yaml", OmegaConf.to_yaml(OmegaConf.masked_copy(hydra_config, ["hydra"]))
    )
    write_atomically(target / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(task)))


def remove_if_empty(folder: Path) -> None:
    """Remove the folder Hydra made for a run that never began, and dated parents left empty."""
    for path in (folder, *folder.parents):
        inside = path == folder or {"outputs", "multirun"} & set(path.parts)
        if not inside or not path.is_dir() or any(path.iterdir()) or path == Path.cwd():
            return
        path.rmdir()
