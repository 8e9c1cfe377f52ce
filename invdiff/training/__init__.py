"""Training of priors: the loss, the loop, and the folder that a trained network becomes."""

from invdiff.training.augmentation import cropped, gamma_changed, mirrored
from invdiff.training.folder import save_prior
from invdiff.training.loop import Training, TrainingStep, train
from invdiff.training.objective import NoiseLevels, edm_loss

__all__ = [
    "NoiseLevels",
    "Training",
    "TrainingStep",
    "cropped",
    "edm_loss",
    "gamma_changed",
    "mirrored",
    "save_prior",
    "train",
]
