import importlib.util
import sys

import pytest
import torch
from torch import nn
from torchmetrics.image import lpip

from invdiff.superres import perceptual_lpips
from invdiff.superres.perceptual_lpips import LPIPS, lpips_if_present

NAME = "alexnet-0123.pth"
TORCHVISION = f"""
class get_weight:
    def __init__(self, name):
        self.url = {{"AlexNet_Weights.DEFAULT": "https://example.invalid/models/{NAME}"}}[name]
"""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A torchvision of one weight, and an empty cache."""
    package = tmp_path / "site" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models.py").write_text(TORCHVISION)
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    yield tmp_path / "hub" / "checkpoints"
    for name in ("torchvision", "torchvision.models"):
        sys.modules.pop(name, None)


class SumOfSquares(nn.Module):
    def forward(self, x, y):
        return (x - y).square().sum((1, 2, 3), keepdim=True)


class Learned:
    def __init__(self, net_type):
        self.net, self.net_type = SumOfSquares(), net_type


def test_images_become_colour_of_the_range_of_the_network(generator):
    seen = []

    def network(x, y):
        seen.extend([x, y])
        return (x - y).abs().mean((1, 2, 3))

    truth = torch.rand(2, 5, 6, generator=generator)
    image = truth.expand(3, 2, 5, 6) + 0.25
    loss = LPIPS(network, (0.0, 1.0))(image, truth)
    assert seen[0].shape == seen[1].shape == (6, 3, 5, 6)
    torch.testing.assert_close(seen[1][3, 2], 2 * truth[1] - 1)
    torch.testing.assert_close(loss, torch.full((3, 2), 0.5))


def test_is_found_where_the_weights_lie_and_can_be_differentiated(hub, monkeypatch, generator):
    hub.mkdir(parents=True)
    (hub / NAME).touch()
    monkeypatch.setattr(lpip, "LearnedPerceptualImagePatchSimilarity", Learned)
    metric = lpips_if_present("alex", data_range=(-1.0, 1.0))
    truth = torch.randn(2, 4, 4, generator=generator)
    image = torch.zeros(2, 4, 4, requires_grad=True)
    metric(image, truth).sum().backward()
    torch.testing.assert_close(image.grad, -6 * truth)


def test_says_which_weights_belong_where(hub):
    with pytest.raises(ValueError, match=f"place torchvision's file {NAME} at {hub / NAME}$"):
        lpips_if_present("alex", data_range=(-1.0, 1.0))


def test_says_that_torchvision_is_missing(monkeypatch):
    def find_spec(name, *rest):
        return None if name == "torchvision" else importlib.util.find_spec(name, *rest)

    monkeypatch.setattr(perceptual_lpips, "find_spec", find_spec)
    with pytest.raises(ValueError, match="needs the package torchvision"):
        lpips_if_present("vgg", data_range=(-1.0, 1.0))


def test_refuses_unknown_backbones_and_empty_ranges():
    with pytest.raises(ValueError, match="one of alex, vgg, got 'resnet'"):
        lpips_if_present("resnet", data_range=(-1.0, 1.0))
    with pytest.raises(ValueError, match="low < high"):
        LPIPS(SumOfSquares(), (1.0, 1.0))
