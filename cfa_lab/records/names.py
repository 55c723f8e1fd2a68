"""What the files and folders of a run folder are called; nowhere else do these names stand."""

RECORD = "metrics.json"
"""The truth of a run; written last."""
HISTORY = "history.csv"
EVALUATIONS = "evaluations.csv"
PREDICTIONS = "predictions.csv"
MISSES = "misses.csv"
DIAGNOSTICS = "diagnostics.json"
LOG = "run.log"
"""What was said on the screen."""
MODEL, MODEL_DESCRIPTION = "model.safetensors", "model.json"
STATE = "state.safetensors"
"""What an unfinished fit goes on from."""
FIGURES, MAPS = "figures", "maps"
"""Folders."""
SETTINGS = ".hydra"
"""The folder in which Hydra's users look for how a run was started."""
CONFIG, HYDRA, OVERRIDES = (f"{SETTINGS}/{name}.yaml" for name in ("config", "hydra", "overrides"))
WANDB = "wandb"
"""The folder that wandb makes for its own files."""

LATEST = "latest"
"""A link beside dated folders to the one that was begun last."""

MULTIRUN = "multirun.yaml"
"""Beside the run folders of a multirun."""
SEARCH = "search.yaml"
"""Beside the run folders of a search: the best points, and what they were judged by."""

RESULTS = (
    RECORD,
    PREDICTIONS,
    MISSES,
    EVALUATIONS,
    DIAGNOSTICS,
    MODEL,
    MODEL_DESCRIPTION,
    FIGURES,
    MAPS,
)
"""What would be taken for a later run's; the history is cut by its own tracker."""

SIGNS = (RECORD, HISTORY)
"""A folder with one of these holds a run, finished or not."""

FOLDERS = (FIGURES, MAPS, SETTINGS, WANDB)
"""They may hold many files, but no runs."""
