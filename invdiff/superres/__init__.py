"""Super-resolution by conditional diffusion ODEs, and the boundary condition they start from."""

from invdiff.superres.analytic_init import AnalyticStart, fit_analytic_start, load_analytic_start
from invdiff.superres.boundary import (
    BoundaryCost,
    FoundBoundary,
    PosteriorMeanBoundary,
    RandomBoundary,
    SharedBoundary,
    ZeroBoundary,
)
from invdiff.superres.boundary_scores import BoundaryComparison, BoundaryScore, SetScore
from invdiff.superres.conditional import ConditionalDenoiser
from invdiff.superres.consistency import ConsistentDenoiser
from invdiff.superres.evaluation import compare_boundaries
from invdiff.superres.exact import ExactConditional
from invdiff.superres.grids import Grid, noise_grid
from invdiff.superres.guided import GuidedDenoiser
from invdiff.superres.integrators import Integrator, list_integrators
from invdiff.superres.network_prior import (
    SuperResolutionPrior,
    list_super_resolution_priors,
    load_super_resolution_prior,
)
from invdiff.superres.ode import Start, SuperResolutionOde, WideStart
from invdiff.superres.pairs import Boundary, Metric, Pairs
from invdiff.superres.perceptual import (
    gradient_similarity_deviation,
    one_minus_ms_ssim,
    one_minus_ssim,
    squared_error,
    squared_error_db,
)
from invdiff.superres.perceptual_features import FeatureDistance
from invdiff.superres.perceptual_lpips import LPIPS, lpips_if_present
from invdiff.superres.recipe import SuperResolutionRecipe, train_super_resolution
from invdiff.superres.refinement import Refined, refine_boundary
from invdiff.superres.refinement_plan import Refinement
from invdiff.superres.refiner import RefinerRecipe, refiner_loss, train_refiner
from invdiff.superres.search import BoundarySearch, search_boundary
from invdiff.superres.selection import Selection, select_by_consistency
from invdiff.superres.shifted_diffusion import ShiftedDiffusion
from invdiff.superres.spectral_basis import CoefficientBasis, RadialSpectrum
from invdiff.superres.spectral_search import SpectralSearch, search_spectral

__all__ = [
    "LPIPS",
    "AnalyticStart",
    "Boundary",
    "BoundaryComparison",
    "BoundaryCost",
    "BoundaryScore",
    "BoundarySearch",
    "CoefficientBasis",
    "ConditionalDenoiser",
    "ConsistentDenoiser",
    "ExactConditional",
    "FeatureDistance",
    "FoundBoundary",
    "Grid",
    "GuidedDenoiser",
    "Integrator",
    "Metric",
    "Pairs",
    "PosteriorMeanBoundary",
    "RadialSpectrum",
    "RandomBoundary",
    "Refined",
    "Refinement",
    "RefinerRecipe",
    "Selection",
    "SetScore",
    "SharedBoundary",
    "ShiftedDiffusion",
    "SpectralSearch",
    "Start",
    "SuperResolutionOde",
    "SuperResolutionPrior",
    "SuperResolutionRecipe",
    "WideStart",
    "ZeroBoundary",
    "compare_boundaries",
    "fit_analytic_start",
    "gradient_similarity_deviation",
    "list_integrators",
    "list_super_resolution_priors",
    "load_analytic_start",
    "load_super_resolution_prior",
    "lpips_if_present",
    "noise_grid",
    "one_minus_ms_ssim",
    "one_minus_ssim",
    "refine_boundary",
    "refiner_loss",
    "search_boundary",
    "search_spectral",
    "select_by_consistency",
    "squared_error",
    "squared_error_db",
    "train_refiner",
    "train_super_resolution",
]
