"""Training of priors: the loss, the loop, and the folder that a trained network becomes."""

from invdiff.training.augmentation import cropped, gamma_changed, mirrored
from invdiff.training.first_weights import drawn_network, seeded_weights
from invdiff.training.folder import save_prior
from invdiff.training.loop import TrainingStep, train
from invdiff.training.objective import GaussianPerturbation, NoiseLevels, Objective, edm_loss
from invdiff.training.processes import Processes
from invdiff.training.resume import TrainingCheckpoint
from invdiff.training.settings import Training
from invdiff.training.slice_set import SliceSet

__all__ = [
    "GaussianPerturbation",
    "NoiseLevels",
    "Objective",
    "Processes",
    "SliceSet",
    "Training",
    "TrainingCheckpoint",
    "TrainingStep",
    "cropped",
    "drawn_network",
    "edm_loss",
    "gamma_changed",
    "mirrored",
    "save_prior",
    "seeded_weights",
    "train",
]
