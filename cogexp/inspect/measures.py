"""How alike two layers are, how many dimensions a layer uses, how alike its tokens are. Plain numpy.

Tokens are arrays (n, d): n tokens, d features.
"""

from __future__ import annotations

import numpy as np


def gram(tokens: np.ndarray) -> np.ndarray:
    """(n, n) inner products, float64."""
    exact = tokens.astype(np.float64)
    # A common factor changes no measure here; float16 states of T5 reach thousands.
    exact /= max(np.abs(exact).max(), 1e-30)
    result: np.ndarray = exact @ exact.T
    return result


def hsic(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate of the Hilbert-Schmidt independence criterion from two (n, n) Gram matrices.

    Song et al. 2012, "Feature Selection via Dependence Maximization", equation 5. Needs n >= 4.
    """
    count = len(a)
    a, b = a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
    cross = a.sum(0) @ b.sum(0)
    joint = a.sum() * b.sum() / ((count - 1) * (count - 2))
    return float(((a * b).sum() + joint - 2 * cross / (count - 2)) / (count * (count - 3)))


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Similarity of two layers from Gram matrices of the same tokens.

    1: equal up to rotation and scale; 0: unrelated. Kornblith et al. 2019 with the unbiased estimate of
    Nguyen et al. 2021: with fewer tokens than features the plain one calls random layers alike.
    """
    norm = hsic(a, a) * hsic(b, b)
    return hsic(a, b) / norm**0.5 if norm > 0 else float("nan")


def cka_matrix(grams: list[np.ndarray]) -> np.ndarray:
    """(layers, layers) of `linear_cka`."""
    layers = len(grams)
    found = np.ones((layers, layers))
    for i in range(layers):
        for j in range(i):
            found[i, j] = found[j, i] = linear_cka(grams[i], grams[j])
    return found


def effective_rank(inner: np.ndarray) -> float:
    """exp of the entropy of the singular values (Roy & Vetterli 2007) of the centred tokens of a Gram matrix.

    Between 1 and min(n - 1, d).
    """
    centred = inner - inner.mean(0) - inner.mean(1)[:, None] + inner.mean()
    singular = np.sqrt(np.linalg.eigvalsh(centred).clip(0))
    # Roundoff of a zero eigenvalue is 1e-16 of the largest, its root 1e-8: no direction of the tokens.
    shares = singular[singular > 1e-6 * singular.max()] / singular.sum() if singular.max() > 0 else np.ones(1)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def cosines(tokens: np.ndarray) -> np.ndarray:
    """(n, n) cosines between tokens."""
    unit = tokens / np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-12)
    result: np.ndarray = unit @ unit.T
    return result


def mean_cosine(tokens: np.ndarray) -> float:
    """Mean cosine between two different tokens."""
    count = len(tokens)
    return float((cosines(tokens.astype(np.float64)).sum() - count) / (count * (count - 1)))


def bands(matrix: np.ndarray, count: int) -> list[tuple[int, int]]:
    """The `count` runs of neighbouring layers (first, last) with the largest mean similarity inside runs.

    The mean is over all pairs of different layers in one run; runs have at least two layers.
    """
    layers = len(matrix)
    if layers < 2 * count:
        raise ValueError(f"{count} bands of two layers need {2 * count} layers, got {layers}")
    best, found = -np.inf, [(0, layers - 1)]
    for cuts in _cuts(layers, count):
        runs = list(zip((0, *cuts), (*cuts, layers), strict=True))
        if (value := inside(matrix, [(a, b - 1) for a, b in runs])) > best:
            best, found = value, [(a, b - 1) for a, b in runs]
    return found


def inside(matrix: np.ndarray, runs: list[tuple[int, int]]) -> float:
    """Mean similarity of pairs of different layers that share a run."""
    pairs = {(i, j) for first, last in runs for i in range(first, last + 1) for j in range(first, i)}
    return float(np.mean([matrix[i, j] for i, j in pairs]))


def across(matrix: np.ndarray, runs: list[tuple[int, int]]) -> float:
    """Mean similarity of pairs of layers that share no run."""
    together = {(i, j) for first, last in runs for i in range(first, last + 1) for j in range(first, i)}
    apart = [matrix[i, j] for i in range(len(matrix)) for j in range(i) if (i, j) not in together]
    return float(np.mean(apart)) if apart else float("nan")


def _cuts(layers: int, count: int) -> list[tuple[int, ...]]:
    from itertools import combinations

    return [
        cuts
        for cuts in combinations(range(2, layers - 1), count - 1)
        if all(b - a >= 2 for a, b in zip((0, *cuts), (*cuts, layers), strict=True))
    ]
