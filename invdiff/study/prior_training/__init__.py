"""Train a prior on one's own slices: what ``invdiff train`` does."""

from invdiff.study.prior_training.study import PriorTraining

__all__ = ["PriorTraining"]
