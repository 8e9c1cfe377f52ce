"""Graph convolution on dense, real-valued adjacencies."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GraphConvolution", "normalized"]


def normalized(adjacency: Tensor) -> Tensor:
    r"""Return :math:`D^{-1/2} \tilde A D^{-1/2}`; the diagonal of :math:`\tilde A` is 1.

    D holds the row sums of a noisy, real-valued adjacency, of at least 1.

    Args:
        adjacency: Shape ``(..., N, N)``; its diagonal is not read.
    """
    eye = torch.eye(adjacency.shape[-1], dtype=torch.bool, device=adjacency.device)
    loops = torch.where(eye, 1, adjacency)
    root = loops.sum(-1).clamp(min=1).rsqrt()
    return root.unsqueeze(-1) * loops * root.unsqueeze(-2)


class GraphConvolution(nn.Module):
    r""":math:`P X W + b`, P from ``normalized`` :cite:p:`kipf2017`.

    Args:
        num_in: Features of a node that come in.
        num_out: Features that go out.
        num_channels: Convolutions side by side, with weights of their own.
    """

    def __init__(self, num_in: int, num_out: int, num_channels: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_channels, num_in, num_out))
        self.bias = nn.Parameter(torch.zeros(num_channels, num_out))
        for weight in self.weight:
            nn.init.xavier_uniform_(weight.data)

    def forward(self, nodes: Tensor, propagation: Tensor) -> Tensor:
        """Return the new features.

        Args:
            nodes: Shape ``(B, N, num_in)``.
            propagation: Shape ``(B, N, N)`` for one channel; ``(B, num_channels, N, N)``.

        Returns:
            Shape ``(B, N, num_out)``, or ``(B, num_channels, N, num_out)``.
        """
        if propagation.ndim == 3:
            return propagation @ (nodes @ self.weight[0]) + self.bias[0]
        # the features of all channels in one product
        channels, num_in, num_out = self.weight.shape
        joint = self.weight.movedim(0, 1).reshape(num_in, channels * num_out)
        mixed = (nodes @ joint).reshape(*nodes.shape[:-1], channels, num_out).transpose(1, 2)
        return propagation @ mixed + self.bias.unsqueeze(1)
