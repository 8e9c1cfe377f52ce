"""Diffusion priors: trained networks, and Gaussians whose posterior is known exactly."""

from invdiff.priors.ar1_volume import AR1VolumePrior, ConditionalSlices
from invdiff.priors.complex_prior import ComplexPrior
from invdiff.priors.denoiser import Denoiser, Rescaled, half_range, rescale
from invdiff.priors.gaussian import GaussianMixturePrior, GaussianPrior
from invdiff.priors.preconditioning import EDM, VariancePreserving
from invdiff.priors.pretrained import PretrainedPrior, list_priors, load_prior
from invdiff.priors.resize import resized
from invdiff.priors.shared_mixture import SharedCovarianceMixture
from invdiff.priors.subspace import SubspacePrior
from invdiff.priors.supported import SupportedPrior

__all__ = [
    "EDM",
    "AR1VolumePrior",
    "ComplexPrior",
    "ConditionalSlices",
    "Denoiser",
    "GaussianMixturePrior",
    "GaussianPrior",
    "PretrainedPrior",
    "Rescaled",
    "SharedCovarianceMixture",
    "SubspacePrior",
    "SupportedPrior",
    "VariancePreserving",
    "half_range",
    "list_priors",
    "load_prior",
    "rescale",
    "resized",
]
