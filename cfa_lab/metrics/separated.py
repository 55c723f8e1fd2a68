"""What can be said of metrics where every defect image lies above every normal one."""

import math

import numpy as np

from cfa_lab.metrics.jackknife import model_variance, quantile
from cfa_lab.metrics.ranking import Ranking


def lowest_auroc(num_normal: int, num_defect: int, confidence: float) -> float:
    """The lower bound of an AUROC that is 1: where 1 would be just within reach (Newcombe)."""
    mean_size = (num_normal + num_defect) / 2
    reach = quantile(confidence, None) ** 2 / (num_normal * num_defect)
    low, high = 0.0, 1.0
    for _ in range(60):
        auroc = (low + high) / 2
        one = auroc * (1 - auroc) + 2 * (mean_size - 1) * model_variance(auroc)
        low, high = (low, auroc) if (1 - auroc) ** 2 < reach * one else (auroc, high)
    return low


def with_auroc(auroc: float, num_normal: int, num_defect: int) -> Ranking:
    """The ranking of two normal distributions of this AUROC, mixed as so many images of each."""
    from scipy.special import ndtr, ndtri

    distance = math.sqrt(2) * float(ndtri(auroc))
    thresholds = np.linspace(distance + 8, min(distance, 0.0) - 8, 4001)
    hits = np.repeat(num_defect * ndtr(distance - thresholds), 2)
    alarms = np.repeat(num_normal * ndtr(-thresholds), 2)
    return Ranking(thresholds, alarms, hits, hits, num_normal, num_defect, num_regions=num_defect)
