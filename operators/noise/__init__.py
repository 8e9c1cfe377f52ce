"""How measurements scatter about the clean ones: draws, log densities, Gaussian surrogates."""

from operators.noise.base import NoiseModel
from operators.noise.binary import BinarySymmetricNoise
from operators.noise.correlated import CorrelatedGaussianNoise
from operators.noise.counts import PoissonNoise, TransmissionNoise
from operators.noise.gaussian import GaussianNoise
from operators.noise.poisson_gaussian import PoissonGaussianNoise
from operators.noise.rician import RicianNoise
from operators.noise.whitening import (
    Prewhitened,
    Whitening,
    estimate_covariance,
    prewhitened,
)

__all__ = [
    "BinarySymmetricNoise",
    "CorrelatedGaussianNoise",
    "GaussianNoise",
    "NoiseModel",
    "PoissonGaussianNoise",
    "PoissonNoise",
    "Prewhitened",
    "RicianNoise",
    "TransmissionNoise",
    "Whitening",
    "estimate_covariance",
    "prewhitened",
]
