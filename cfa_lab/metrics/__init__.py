"""Metrics of anomaly detection and localisation: exact, fast, at full resolution.

`AnomalyMetrics` brings torch and torchmetrics with it and is imported on first use; everything else
needs numpy and scipy only and is imported from its file.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfa_lab.metrics.anomaly import AnomalyMetrics

__all__ = ["AnomalyMetrics"]


def __getattr__(name: str) -> Any:
    if name == "AnomalyMetrics":
        from cfa_lab.metrics.anomaly import AnomalyMetrics

        return AnomalyMetrics
    raise AttributeError(f"module 'cfa_lab.metrics' has no attribute '{name}'")
