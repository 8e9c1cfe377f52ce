"""Studies of the methods themselves, each a kind of experiment."""

from __future__ import annotations

from invdiff.study.laboratory.boundary_toy import BoundaryToy
from invdiff.study.laboratory.budget_concentration import BudgetConcentration
from invdiff.study.laboratory.classical_refinement import ClassicalRefinement
from invdiff.study.laboratory.ct_uncertainty import CTUncertainty
from invdiff.study.laboratory.few_step import FewStep
from invdiff.study.laboratory.gaussian_calibration import GaussianCalibration
from invdiff.study.laboratory.gmm_posterior import GMMPosterior
from invdiff.study.laboratory.graph_completion import GraphCompletionStudy
from invdiff.study.laboratory.graphs import Graphs
from invdiff.study.laboratory.interpolant_bridge import InterpolantBridge
from invdiff.study.laboratory.interpolant_checkerboard import InterpolantCheckerboard
from invdiff.study.laboratory.interpolant_gmm import InterpolantGMM
from invdiff.study.laboratory.interpolant_gmm_d128 import InterpolantHighDim
from invdiff.study.laboratory.molecules import Molecules
from invdiff.study.laboratory.prior_denoising import PriorDenoising
from invdiff.study.laboratory.prior_experts import PriorExperts
from invdiff.study.laboratory.slice_interpolation import SliceInterpolation
from invdiff.study.laboratory.smc_images import SMCImages
from invdiff.study.laboratory.smc_rate import SMCRate
from invdiff.study.laboratory.sr_boundary import SRBoundary
from invdiff.study.laboratory.sr_training import SRTraining
from invdiff.study.laboratory.volume import VolumeStudy
from invdiff.study.prior_training import PriorTraining
from invdiff.study.router_training import RouterTraining
from invdiff.study.scripted import ScriptedStudy

__all__ = ["STUDIES"]

STUDIES: dict[str, type[ScriptedStudy]] = {
    "boundary-toy": BoundaryToy,
    "budget-concentration": BudgetConcentration,
    "classical-refinement": ClassicalRefinement,
    "ct-uncertainty": CTUncertainty,
    "few-step": FewStep,
    "gaussian-calibration": GaussianCalibration,
    "gmm-posterior": GMMPosterior,
    "graph-completion": GraphCompletionStudy,
    "graphs": Graphs,
    "interpolant-gmm": InterpolantGMM,
    "interpolant-gmm-d128": InterpolantHighDim,
    "interpolant-checkerboard": InterpolantCheckerboard,
    "interpolant-bridge": InterpolantBridge,
    "molecules": Molecules,
    "prior-training": PriorTraining,
    "prior-denoising": PriorDenoising,
    "prior-experts": PriorExperts,
    "router-training": RouterTraining,
    "slice-interpolation": SliceInterpolation,
    "smc-images": SMCImages,
    "smc-rate": SMCRate,
    "sr-boundary": SRBoundary,
    "sr-training": SRTraining,
    "volume": VolumeStudy,
}
