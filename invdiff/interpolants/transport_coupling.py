"""Independent ends, rearranged within a batch so that they lie near each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from invdiff.interpolants.couplings import Coupling, Draw

__all__ = ["TransportCoupling"]


@dataclass(frozen=True)
class TransportCoupling:
    r"""The optimal pairing of every batch :cite:p:`tong2024`.

    .. math:: \min_\pi \sum_i \|x_{0, \pi(i)} - x_{1, i}\|^2

    over permutations pi. Both marginals stay as they are; the paths are straighter the larger the
    batch is. The assignment costs the cube of the batch in the worst case, on the host.

    Args:
        coupling: Draws ends that are independent, without a condition.
    """

    coupling: Coupling

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw pairs.

        Raises:
            ValueError: No x0, or a condition, whose law the pairing would change.
        """
        from scipy.optimize import linear_sum_assignment

        x0, x1, condition = self.coupling.draw(count, generator)
        if x0 is None or condition is not None:
            raise ValueError("TransportCoupling: expected pairs with x0 and without a condition")
        cost = torch.cdist(x1.flatten(1).double(), x0.flatten(1).double()) ** 2
        order = linear_sum_assignment(cost.cpu().numpy())[1]
        return Draw(x0[torch.from_numpy(order).to(x0.device)], x1)
