"""Training of a router between priors that were trained apart."""

from invdiff.study.router_training.study import RouterTraining

__all__ = ["RouterTraining"]
