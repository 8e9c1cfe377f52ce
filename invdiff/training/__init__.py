"""Training of priors: the loss, the loop, and the folder that a trained network becomes."""

from invdiff.training.augmentation import Augmentation, cropped, mirrored
from invdiff.training.batches import Batches
from invdiff.training.denoising import DenoisingScores, denoising_psnr
from invdiff.training.first_weights import drawn_network, seeded_weights
from invdiff.training.folder import save_prior
from invdiff.training.idempotent import Distillation, distillation_loss, train_idempotent
from invdiff.training.intensity import gamma_changed
from invdiff.training.levels import DiscreteLevels, LogUniformLevels, NoiseLevels, UniformTimes
from invdiff.training.loop import TrainingStep, train
from invdiff.training.named_objectives import OBJECTIVES, objective_named
from invdiff.training.objective import Objective, edm_loss
from invdiff.training.perturbation import GaussianPerturbation, StudentPerturbation
from invdiff.training.power_average import PowerAverages
from invdiff.training.power_snapshots import (
    Snapshot,
    averaged_weights,
    read_snapshots,
    scores_of_lengths,
    write_snapshots,
)
from invdiff.training.prior import PriorRecipe, heldout_losses, train_prior
from invdiff.training.processes import Processes
from invdiff.training.resume import TrainingCheckpoint
from invdiff.training.routed_folder import load_routed_prior, save_routed_prior
from invdiff.training.router import train_router
from invdiff.training.router_folder import load_router, save_router
from invdiff.training.router_scores import RouterScore, router_scores
from invdiff.training.settings import Training
from invdiff.training.slice_set import SliceSet

__all__ = [
    "OBJECTIVES",
    "Augmentation",
    "Batches",
    "DenoisingScores",
    "DiscreteLevels",
    "Distillation",
    "GaussianPerturbation",
    "LogUniformLevels",
    "NoiseLevels",
    "Objective",
    "PowerAverages",
    "PriorRecipe",
    "Processes",
    "RouterScore",
    "SliceSet",
    "Snapshot",
    "StudentPerturbation",
    "Training",
    "TrainingCheckpoint",
    "TrainingStep",
    "UniformTimes",
    "averaged_weights",
    "cropped",
    "denoising_psnr",
    "distillation_loss",
    "drawn_network",
    "edm_loss",
    "gamma_changed",
    "heldout_losses",
    "load_routed_prior",
    "load_router",
    "mirrored",
    "objective_named",
    "read_snapshots",
    "router_scores",
    "save_prior",
    "save_routed_prior",
    "save_router",
    "scores_of_lengths",
    "seeded_weights",
    "train",
    "train_idempotent",
    "train_prior",
    "train_router",
    "write_snapshots",
]
