"""The mixture of a network with a Kneser-Ney table: a weighted mean of their probabilities of each token."""

from collections.abc import Sequence

import numpy as np

# Rounds of expectation and maximisation: the likelihood of one weight has one maximum.
_ROUNDS = 50


def mixed(network: Sequence[np.ndarray], table: Sequence[np.ndarray], weight: float) -> float:
    """Returns the loss of a mixture on some documents, in nats.

    Args:
        network, table: Losses of the tokens of each document by the two models, in nats.
        weight: Share of the table in the probabilities.
    """
    return -sum(
        float(np.log((1 - weight) * np.exp(-ours) + weight * np.exp(-theirs)).sum())
        for ours, theirs in zip(network, table, strict=True)
    )


def fitted_weight(network: Sequence[np.ndarray], table: Sequence[np.ndarray]) -> float:
    """Returns the weight with the smallest loss, by expectation-maximisation. Arguments as for `mixed`."""
    ratio = np.exp(np.concatenate([*network]) - np.concatenate([*table]))
    weight = 0.5
    for _ in range(_ROUNDS):
        # The share of each token that the table explains.
        weight = float((weight * ratio / (weight * ratio + 1 - weight)).mean())
    return weight
