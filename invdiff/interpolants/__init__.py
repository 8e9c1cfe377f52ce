"""Stochastic interpolants: processes from one law to another, exact and learned."""

from invdiff.interpolants.couplings import Coupling, Draw, IndependentCoupling, PairedCoupling
from invdiff.interpolants.diffusion import ConstantEpsilon, Epsilon
from invdiff.interpolants.fit import train_field
from invdiff.interpolants.gammas import (
    BrownianGamma,
    FoellmerGamma,
    Gamma,
    NoGamma,
    QuadraticGamma,
    SigmoidGamma,
    SineSquaredGamma,
)
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import (
    Coefficients,
    Interpolant,
    Mirror,
    OneSided,
    TwoSided,
    foellmer,
)
from invdiff.interpolants.losses import interpolant_loss, uniform_times
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.networks import FieldMLP, FieldUNet, told
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.paths import (
    EncodingDecodingPath,
    LinearPath,
    Path,
    PathPoint,
    PowerPath,
    TrigonometricPath,
)
from invdiff.interpolants.process import Field, FieldProcess, Process
from invdiff.interpolants.sde import integrate_sde

__all__ = [
    "BrownianGamma",
    "Coefficients",
    "ConstantEpsilon",
    "Coupling",
    "Draw",
    "EncodingDecodingPath",
    "Epsilon",
    "Field",
    "FieldMLP",
    "FieldProcess",
    "FieldUNet",
    "FoellmerGamma",
    "Gamma",
    "IndependentCoupling",
    "Interpolant",
    "LinearPath",
    "Mirror",
    "MixtureProcess",
    "NoGamma",
    "OneSided",
    "PairedCoupling",
    "Path",
    "PathPoint",
    "PowerPath",
    "Process",
    "QuadraticGamma",
    "SampleNoise",
    "SigmoidGamma",
    "SineSquaredGamma",
    "TrigonometricPath",
    "TwoSided",
    "foellmer",
    "integrate_ode",
    "integrate_sde",
    "interpolant_loss",
    "time_grid",
    "told",
    "train_field",
    "uniform_times",
]
