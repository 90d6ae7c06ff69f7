"""How good probabilities are. Shared by the notebooks beside it: a notebook's working folder is its own folder."""

import numpy as np


def auc(churned, probability):
    """The chance that a random churner has a higher probability than a random stayer; ties count half."""
    values, group, size = np.unique(probability, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(size)
    mean_rank = last_rank - (size - 1) / 2
    positives = int(np.sum(churned))
    negatives = len(churned) - positives
    rank_sum = np.sum(mean_rank[group][churned == 1])
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(churned, probability):
    """Mean negative log-likelihood: punishes confident mistakes. Lower is better."""
    clipped = np.clip(probability, 1e-12, 1 - 1e-12)
    return float(-np.mean(churned * np.log(clipped) + (1 - churned) * np.log(1 - clipped)))


def brier(churned, probability):
    """Mean squared error of the probabilities. Lower is better."""
    return float(np.mean((probability - churned) ** 2))


def roc_curve(churned, probability):
    """False and true positive rates at every threshold, from (0, 0) to (1, 1)."""
    order = np.argsort(-probability, kind="stable")
    last_of_tie = np.append(np.diff(probability[order]) != 0, True)
    true_positives = np.cumsum(churned[order])[last_of_tie]
    false_positives = np.cumsum(1 - churned[order])[last_of_tie]
    return (
        np.append(0, false_positives) / false_positives[-1],
        np.append(0, true_positives) / true_positives[-1],
    )


def calibration(churned, probability, groups=10):
    """Customers in equal groups by predicted probability: mean prediction, observed share, and its standard error."""
    rows = []
    for members in np.array_split(np.argsort(probability, kind="stable"), groups):
        share = churned[members].mean()
        rows.append((probability[members].mean(), share, np.sqrt(share * (1 - share) / len(members))))
    return np.array(rows).T


def share_reached(churned, probability, contacted):
    """The share of all churners among the `contacted` (a share of the customers) with the highest probabilities."""
    count = max(1, round(contacted * len(churned)))
    highest = np.argsort(-probability, kind="stable")[:count]
    return float(churned[highest].sum() / churned.sum())
