"""Diffusion priors: trained networks, and those whose posterior is known exactly."""

from invdiff.priors.adapter import DenoiserAdapter
from invdiff.priors.ar1_volume import AR1VolumePrior, ConditionalSlices
from invdiff.priors.channel_prior import ChannelPrior
from invdiff.priors.complex_prior import ComplexPrior
from invdiff.priors.conversion import convert_checkpoint
from invdiff.priors.denoiser import Denoiser, Rescaled, half_range, rescale
from invdiff.priors.experts import RoutedPrior
from invdiff.priors.gaussian import GaussianMixturePrior, GaussianPrior
from invdiff.priors.idempotent import (
    Idempotent,
    LearnedProjector,
    LinearProjector,
    idempotence_error,
)
from invdiff.priors.pfgm_atoms import StudentAtoms
from invdiff.priors.pfgm_gaussian import StudentDenoiser
from invdiff.priors.preconditioning import EDM, FlowMatching, VariancePreserving
from invdiff.priors.pretrained import PretrainedPrior, list_priors, load_prior
from invdiff.priors.resize import resized
from invdiff.priors.router_network import RouterNetwork, RouterSettings
from invdiff.priors.routing import MixtureRouter, combined, mixture_components
from invdiff.priors.scheduler import scheduler_of
from invdiff.priors.score_preconditioning import (
    ContinuousVP,
    EDMVarianceExploding,
    ImprovedDDPM,
    ScoreVE,
)
from invdiff.priors.shared_mixture import SharedCovarianceMixture
from invdiff.priors.subspace import SubspacePrior
from invdiff.priors.supported import SupportedPrior

__all__ = [
    "EDM",
    "AR1VolumePrior",
    "ChannelPrior",
    "ComplexPrior",
    "ConditionalSlices",
    "ContinuousVP",
    "Denoiser",
    "DenoiserAdapter",
    "EDMVarianceExploding",
    "FlowMatching",
    "GaussianMixturePrior",
    "GaussianPrior",
    "Idempotent",
    "ImprovedDDPM",
    "LearnedProjector",
    "LinearProjector",
    "MixtureRouter",
    "PretrainedPrior",
    "Rescaled",
    "RoutedPrior",
    "RouterNetwork",
    "RouterSettings",
    "ScoreVE",
    "SharedCovarianceMixture",
    "StudentAtoms",
    "StudentDenoiser",
    "SubspacePrior",
    "SupportedPrior",
    "VariancePreserving",
    "combined",
    "convert_checkpoint",
    "half_range",
    "idempotence_error",
    "list_priors",
    "load_prior",
    "mixture_components",
    "rescale",
    "resized",
    "scheduler_of",
]
