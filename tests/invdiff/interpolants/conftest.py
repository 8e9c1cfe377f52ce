import pytest
import torch

from invdiff.priors.gaussian import GaussianMixturePrior


@pytest.fixture
def mixture():
    root = torch.tensor([[1.0, 0.0], [0.6, 0.5]]).double()
    covariances = torch.stack([0.1 * root @ root.T, 0.3 * torch.eye(2).double()])
    means = torch.tensor([[-1.0, 0.5], [1.5, 0.0]]).double()
    return GaussianMixturePrior(torch.tensor([0.3, 0.7]).double(), means, covariances)
