"""Stochastic interpolants: processes from one law to another, exact and learned."""

from invdiff.interpolants.best_of_n import BestOfN
from invdiff.interpolants.bridge_process import BridgeProcess, predict_from_denoiser
from invdiff.interpolants.bridge_sampler import bridge_kernel, bridge_step, sample_bridge
from invdiff.interpolants.brownian_bridge import bbdm, bbdm_output, bbdm_times, bbdm_variance
from invdiff.interpolants.closed_form import ClosedFormProcess
from invdiff.interpolants.conversions import (
    noise_from_score,
    one_sided_noise,
    one_sided_target,
    one_sided_velocity,
    one_sided_velocity_from_score,
    path_velocity_from_velocity,
    score_from_noise,
    velocity_from_noise,
    velocity_from_score,
)
from invdiff.interpolants.couplings import Coupling, Draw, IndependentCoupling, PairedCoupling
from invdiff.interpolants.ddbm import (
    DiffusionBridge,
    VarianceExplodingDiffusion,
    VariancePreservingDiffusion,
)
from invdiff.interpolants.degraded_coupling import EnlargedCoupling, MaskedCoupling
from invdiff.interpolants.diffusion import (
    ConstantEpsilon,
    CosineEpsilon,
    Epsilon,
    LinearEpsilon,
    NoiseScaleEpsilon,
    PointSourceEpsilon,
    ScoreFreeEpsilon,
    SineSquaredEpsilon,
    TabulatedEpsilon,
)
from invdiff.interpolants.divergence import HutchinsonDivergence, exact_divergence, hutchinson
from invdiff.interpolants.dopri5 import AdaptiveSolution, integrate_dopri5
from invdiff.interpolants.field_folder import SavedField, load_field, save_field
from invdiff.interpolants.fit import train_field, train_on_pairs
from invdiff.interpolants.flow_prior import DenoiserProcess, FlowPrior
from invdiff.interpolants.forecast_fit import forecast_loss, series_coupling, train_forecast
from invdiff.interpolants.forecasting import forecast, rollout
from invdiff.interpolants.gammas import (
    BrownianGamma,
    FoellmerGamma,
    Gamma,
    NoGamma,
    QuadraticGamma,
    SigmoidGamma,
    SineSquaredGamma,
)
from invdiff.interpolants.gaussian_coupling import GaussianCoupling, JointGaussianProcess
from invdiff.interpolants.i2sb import SymmetricBetas, drift_from_output, i2sb_output, i2sb_predict
from invdiff.interpolants.image_field import ImageField
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import (
    Coefficients,
    Interpolant,
    Mirror,
    OneSided,
    TwoSided,
    foellmer,
)
from invdiff.interpolants.kl_bounds import (
    FieldErrors,
    KlEstimate,
    field_differences,
    field_errors,
    kl_monte_carlo,
    kl_on_grid,
)
from invdiff.interpolants.likelihood import ode_log_prob, standard_normal_log_prob
from invdiff.interpolants.losses import interpolant_loss, uniform_times
from invdiff.interpolants.measured_coupling import MeasuredCoupling, Reconstruct
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.networks import FieldMLP, FieldUNet, told
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.noise_levels import noise_level, time_of_level
from invdiff.interpolants.paths import (
    EncodingDecodingPath,
    LinearPath,
    Path,
    PowerPath,
    TrigonometricPath,
)
from invdiff.interpolants.point_source import Drift, PointSource
from invdiff.interpolants.process import (
    CombinedProcess,
    Field,
    FieldProcess,
    Process,
    velocity_and_score,
)
from invdiff.interpolants.rectified_flow import (
    ReflowedGaussian,
    rectified,
    reflow,
    reflow_pairs,
    straightness,
    transport_cost,
)
from invdiff.interpolants.residual_predictor import (
    ResidualPredictor,
    prediction_loss,
    train_predictor,
)
from invdiff.interpolants.restoration import BridgePrior, BridgeRestoration, Predictor
from invdiff.interpolants.rollover_budget import RolloverBudget
from invdiff.interpolants.schedule_conversion import ConvertedProcess
from invdiff.interpolants.schroedinger_gaussian import GaussianSchroedingerBridge, bures_distance
from invdiff.interpolants.schroedinger_search import InterpolantSearch, SearchRound
from invdiff.interpolants.sde import integrate_sde
from invdiff.interpolants.sde_likelihood import PathWeights, sampler_log_prob, sde_log_prob
from invdiff.interpolants.settings import interpolant_from_settings, interpolant_settings
from invdiff.interpolants.skip import GaussianSkip
from invdiff.interpolants.transport_coupling import TransportCoupling

__all__ = [
    "AdaptiveSolution",
    "BestOfN",
    "BridgePrior",
    "BridgeProcess",
    "BridgeRestoration",
    "BrownianGamma",
    "ClosedFormProcess",
    "Coefficients",
    "CombinedProcess",
    "ConstantEpsilon",
    "ConvertedProcess",
    "CosineEpsilon",
    "Coupling",
    "DenoiserProcess",
    "DiffusionBridge",
    "Draw",
    "Drift",
    "EncodingDecodingPath",
    "EnlargedCoupling",
    "Epsilon",
    "Field",
    "FieldErrors",
    "FieldMLP",
    "FieldProcess",
    "FieldUNet",
    "FlowPrior",
    "FoellmerGamma",
    "Gamma",
    "GaussianCoupling",
    "GaussianSchroedingerBridge",
    "GaussianSkip",
    "HutchinsonDivergence",
    "ImageField",
    "IndependentCoupling",
    "Interpolant",
    "InterpolantSearch",
    "JointGaussianProcess",
    "KlEstimate",
    "LinearEpsilon",
    "LinearPath",
    "MaskedCoupling",
    "MeasuredCoupling",
    "Mirror",
    "MixtureProcess",
    "NoGamma",
    "NoiseScaleEpsilon",
    "OneSided",
    "PairedCoupling",
    "Path",
    "PathWeights",
    "PointSource",
    "PointSourceEpsilon",
    "PowerPath",
    "Predictor",
    "Process",
    "QuadraticGamma",
    "Reconstruct",
    "ReflowedGaussian",
    "ResidualPredictor",
    "RolloverBudget",
    "SampleNoise",
    "SavedField",
    "ScoreFreeEpsilon",
    "SearchRound",
    "SigmoidGamma",
    "SineSquaredEpsilon",
    "SineSquaredGamma",
    "SymmetricBetas",
    "TabulatedEpsilon",
    "TransportCoupling",
    "TrigonometricPath",
    "TwoSided",
    "VarianceExplodingDiffusion",
    "VariancePreservingDiffusion",
    "bbdm",
    "bbdm_output",
    "bbdm_times",
    "bbdm_variance",
    "bridge_kernel",
    "bridge_step",
    "bures_distance",
    "drift_from_output",
    "exact_divergence",
    "field_differences",
    "field_errors",
    "foellmer",
    "forecast",
    "forecast_loss",
    "hutchinson",
    "i2sb_output",
    "i2sb_predict",
    "integrate_dopri5",
    "integrate_ode",
    "integrate_sde",
    "interpolant_from_settings",
    "interpolant_loss",
    "interpolant_settings",
    "kl_monte_carlo",
    "kl_on_grid",
    "load_field",
    "noise_from_score",
    "noise_level",
    "ode_log_prob",
    "one_sided_noise",
    "one_sided_target",
    "one_sided_velocity",
    "one_sided_velocity_from_score",
    "path_velocity_from_velocity",
    "predict_from_denoiser",
    "prediction_loss",
    "rectified",
    "reflow",
    "reflow_pairs",
    "rollout",
    "sample_bridge",
    "sampler_log_prob",
    "save_field",
    "score_from_noise",
    "sde_log_prob",
    "series_coupling",
    "standard_normal_log_prob",
    "straightness",
    "time_grid",
    "time_of_level",
    "told",
    "train_field",
    "train_forecast",
    "train_on_pairs",
    "train_predictor",
    "transport_cost",
    "uniform_times",
    "velocity_and_score",
    "velocity_from_noise",
    "velocity_from_score",
]
