"""Weights, distances and scores of samples: what rests on their formulas."""

from __future__ import annotations

from wrong_formulas import (
    Break,
    Row,
    argument_scaled,
    diagonal_kept,
    drawn_to_the_middle,
    forgotten,
    multinomial,
    narrow_above,
    outer_ranks,
    scaled,
)

ROWS = [
    Row(
        "resampling",
        (
            Break("samplers.resampling", "ancestors", multinomial),
            Break("samplers.resampling", "effective_sample_size", scaled(1.1)),
        ),
        """
        effective-sample-size resampling-variance
        """,
    ),
    Row(
        "ancestors",
        (Break("samplers.resampling", "ancestors", argument_scaled(0, 0.8)),),
        """
        resampling-unbiased
        """,
    ),
    Row(
        "evidence",
        (Break("samplers.weighted_ensemble", "resampled", forgotten("log_evidence")),),
        """
        evidence-unbiased log-evidence-biased
        """,
    ),
    Row(
        "weighted-mean",
        (Break("samplers.base", "Samples.mean", scaled(0.8)),),
        """
        ensemble-rate ensemble-two-terms
        """,
    ),
    Row(
        "clouds",
        (
            Break("theory.sliced", "wasserstein_1d", scaled(1.1)),
            Break("theory.mmd", "mmd2", diagonal_kept),
            Break("theory.two_samples", "c2st", scaled(0.9)),
            Break("theory.spacings", "spacing_divergence", scaled(0.3)),
        ),
        """
        classifier-accuracy mmd-null-spread mmd-unbiased rollover-over-concentrates
        samples-are-no-data wasserstein-floor
        """,
    ),
    Row(
        "ranks",
        (
            Break("theory.ranks", "rank_statistics", drawn_to_the_middle),
            Break("uncertainty.intervals", "weighted_quantiles", outer_ranks),
        ),
        """
        credible-coverage credible-overconfident ranks-too-wide ranks-uniform
        """,
    ),
    Row(
        "scores-of-samples",
        (
            Break("uncertainty.scores", "crps", scaled(1.1)),
            Break("uncertainty.conformal", "ConformalCalibration.apply", narrow_above),
            Break("metrics", "psnr", scaled(0.9)),
        ),
        """
        conformal-coverage conformal-coverage-law crps-excess crps-fair three-decibels
        """,
    ),
]
