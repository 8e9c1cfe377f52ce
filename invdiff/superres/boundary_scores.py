"""Scores of boundary conditions, and the table of them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BoundaryComparison", "BoundaryScore", "SetScore"]


class SetScore(NamedTuple):
    """Mean loss of a boundary on a set of pairs, beside that of random boundaries.

    Args:
        loss: Mean over the pairs.
        random_mean: Of the mean losses of the random boundaries, each shared by all pairs.
        random_std: Of the same.
        standard_error: Of ``loss - random_mean``, over the pairs; NaN for a single pair.
        gain: ``(random_mean - loss) / random_std``, how much better than random.
    """

    loss: float
    random_mean: float
    random_std: float
    standard_error: float
    gain: float


class BoundaryScore(NamedTuple):
    """One boundary under one metric.

    Args:
        boundary: Its name.
        metric: Its name.
        reference: On the pairs that a search may have seen.
        held_out: On pairs that it hasn't seen: the only ones to report.
        calls_per_image: Network calls of the ODE and of the boundary.
        calls_spent: Network calls that found the boundary, once.
        residual: Root mean square of A x - y on the held-out pairs; None without an operator.
    """

    boundary: str
    metric: str
    reference: SetScore
    held_out: SetScore
    calls_per_image: int
    calls_spent: int
    residual: float | None

    @property
    def optimism(self) -> float:
        """Improvement over random on the references less that on the held-out pairs.

        An estimate of the selection bias, in units of the loss: how hard the two sets are cancels
        to first order, and a boundary that no one chose scatters around 0.
        """
        seen, unseen = self.reference, self.held_out
        return (seen.random_mean - seen.loss) - (unseen.random_mean - unseen.loss)


class BoundaryComparison(NamedTuple):
    """All boundaries under all metrics.

    Args:
        scores: One for each boundary and metric.
        num_random: Random boundaries that they are compared with.
        random_residual: Root mean square of A x - y of the random boundaries; None without A.
        truth_residual: The same of the true images: the noise that is to be left over.
    """

    scores: tuple[BoundaryScore, ...]
    num_random: int
    random_residual: float | None
    truth_residual: float | None

    def score(self, boundary: str, metric: str) -> BoundaryScore:
        """Return the score of that boundary under that metric.

        Raises:
            KeyError: There is none.
        """
        for score in self.scores:
            if (score.boundary, score.metric) == (boundary, metric):
                return score
        raise KeyError((boundary, metric))

    def markdown(self) -> str:
        """Return a table, one line for each boundary and metric."""
        head = "boundary metric reference held-out random sd gain optimism calls search residual"
        columns = head.split()
        lines = [columns, ["---"] * len(columns), *(_cells(score) for score in self.scores)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(score: BoundaryScore) -> list[str]:
    seen, unseen = score.reference, score.held_out
    numbers = [seen.loss, unseen.loss, unseen.random_mean, unseen.random_std]
    return [
        score.boundary,
        score.metric,
        *(f"{number:.4g}" for number in numbers),
        f"{unseen.gain:+.2f}",
        f"{score.optimism:+.2g}",
        str(score.calls_per_image),
        str(score.calls_spent),
        "" if score.residual is None else f"{score.residual:.3g}",
    ]
