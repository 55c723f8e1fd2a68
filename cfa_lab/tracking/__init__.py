"""Who listens to a run: the run folder's own files, and Weights & Biases."""

from cfa_lab.tracking.base import Curve, Outcome, Panel, Tracker, Trackers
from cfa_lab.tracking.claims import claim_id, outside_id
from cfa_lab.tracking.columns import COLUMNS, comparable
from cfa_lab.tracking.files import HistoryFile
from cfa_lab.tracking.wandb import WandbTracker, latest_run_id

__all__ = [
    "COLUMNS",
    "Curve",
    "HistoryFile",
    "Outcome",
    "Panel",
    "Tracker",
    "Trackers",
    "WandbTracker",
    "claim_id",
    "comparable",
    "latest_run_id",
    "outside_id",
]
