"""Where the truth lies in its predicted distribution, as a histogram: flat where that is right.

Samples and quantiles tell of the probability integral transform only between which two levels it
lies; a row's mass is spread evenly between those, so that nothing is drawn by chance (Czado,
Gneiting & Held 2009).
"""

import numpy as np

from tasks.learning.predictions import Predictions
from tasks.learning.row_scores import Values

BINS = 10


def pit_histogram(
    truth: Values, predictions: Predictions, target: int, rows: Values
) -> Values | None:
    """Return the weight in each of BINS equal bins, (BINS,), or None for what has no distribution.

    `truth` (n,) is one target's; `rows` (n,) are the weights, 0 for rows that are left out.
    Samples come before quantiles, quantiles before a Gaussian of mean and spread.
    """
    kept = np.flatnonzero(rows)
    y = truth[kept]
    if predictions.samples is not None:
        low, high = _among(y, predictions.samples[kept, :, target].T)
    elif predictions.quantiles:
        levels = sorted(predictions.quantiles)
        ends = np.stack([predictions.quantiles[q][kept, target] for q in levels])
        low, high = _between(y, np.sort(ends, axis=0), np.array([0.0, *levels, 1.0]))
    elif predictions.spread is not None:
        low = high = _gaussian(y, predictions.mean[kept, target], predictions.spread[kept, target])
    else:
        return None
    return np.asarray(rows[kept] @ _mass(low, high))


def _among(truth: Values, draws: Values) -> tuple[Values, Values]:
    """Return between which levels the truth lies among `draws` (draws, n); ties leave it open."""
    count = len(draws) + 1
    return (draws < truth).sum(axis=0) / count, ((draws <= truth).sum(axis=0) + 1) / count


def _between(truth: Values, ends: Values, levels: Values) -> tuple[Values, Values]:
    return levels[(ends < truth).sum(axis=0)], levels[(ends <= truth).sum(axis=0) + 1]


def _gaussian(truth: Values, mean: Values, spread: Values) -> Values:
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        z = (truth - mean) / spread
    return np.asarray(ndtr(np.where(np.isnan(z), 0.0, z)), np.float64)


def _mass(low: Values, high: Values) -> Values:
    """Return the share of each row's mass in each bin, (n, BINS), spread from `low` to `high`."""
    edges = np.arange(1, BINS) / BINS
    width = (high - low)[:, None]
    reached = np.divide(
        edges - low[:, None], width, out=np.zeros((len(low), BINS - 1)), where=width > 0
    )
    reached = np.where(width > 0, np.clip(reached, 0.0, 1.0), low[:, None] < edges)
    return np.diff(reached, axis=1, prepend=0.0, append=1.0)
