"""Averages of a network's weights over the training, of several lengths at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from invdiff.training.power_profile import power_exponent
from invdiff.training.weights import check_tensors

__all__ = ["PowerAverages"]


class PowerAverages:
    r"""Averages with power-function profiles :cite:p:`karras2024`.

    .. math:: \bar\theta_n = \beta_n \bar\theta_{n-1} + (1 - \beta_n)\, \theta_n,
        \qquad \beta_n = (1 - 1/n)^{\gamma + 1}

    is the mean of the weights with the density :math:`\propto \tau^\gamma` of the time, so the
    first weights are forgotten, and the length grows with the training. From two such averages,
    kept at some steps, ``averaged_weights`` makes one of any length.

    Floating-point entries of the state are averaged, in float32 at least; others are those of
    the last update.

    Args:
        network: On the device it is trained on.
        lengths: Standard deviations of the profiles over the time so far, in (0, 0.288), all
            different; see ``power_exponent``.

    Raises:
        ValueError: No lengths, one twice, or one out of its range.

    Attributes:
        step: Updates of the network so far.
    """

    def __init__(self, network: nn.Module, lengths: Sequence[float] = (0.05, 0.10)) -> None:
        if not lengths or len(set(lengths)) != len(lengths):
            raise ValueError(f"PowerAverages: expected different lengths, got {tuple(lengths)}")
        self.lengths = tuple(float(length) for length in lengths)
        self.step = 0
        self._exponents = [power_exponent(length) for length in self.lengths]
        self._network = network
        self._averages = [_started(network.state_dict()) for _ in self.lengths]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the present weights into all averages; the device is not waited for.

        Args:
            step: Updates of the network so far, 1 after the first. Steps may be left out: the
                present weights then stand for all since the last call.

        Raises:
            ValueError: It is not after the last one.
        """
        if step <= self.step:
            raise ValueError(f"PowerAverages: expected a step after {self.step}, got {step}")
        state = self._network.state_dict()
        for average, exponent in zip(self._averages, self._exponents, strict=True):
            _move(average, state, 1 - (self.step / step) ** (exponent + 1))
        self.step = step

    def weights(self, length: float) -> dict[str, Tensor]:
        """Return a copy of an average as a state dict of the network, in the network's dtypes.

        Raises:
            ValueError: It is none of the lengths.
        """
        if length not in self.lengths:
            raise ValueError(f"PowerAverages: expected one of {self.lengths}, got {length}")
        average = self._averages[self.lengths.index(length)]
        dtypes = {name: value.dtype for name, value in self._network.state_dict().items()}
        return {name: value.to(dtypes[name], copy=True) for name, value in average.items()}

    def state(self) -> dict[str, Tensor]:
        """Return all that a training needs to go on to the same bits; the tensors are not copies.

        They are ``step``, ``lengths`` and, for the i-th length, ``i.NAME``.
        """
        tensors = {
            f"{i}.{name}": value
            for i, average in enumerate(self._averages)
            for name, value in average.items()
        }
        numbers = torch.tensor(self.lengths, dtype=torch.float64)
        return {"step": torch.tensor(self.step), "lengths": numbers, **tensors}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state that ``state`` returned.

        Raises:
            ValueError: It is of another network, or of other lengths.
        """
        own = self.state()
        check_tensors(own, state)
        if not torch.equal(state["lengths"].cpu(), own["lengths"]):
            raise ValueError(
                f"PowerAverages: expected lengths {self.lengths}, got {state['lengths'].tolist()}"
            )
        for name, value in own.items():
            value.copy_(state[name])
        self.step = int(state["step"])


def _started(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().to(_kept_dtype(value), copy=True) for name, value in state.items()}


def _kept_dtype(value: Tensor) -> torch.dtype:
    if not value.is_floating_point():
        return value.dtype
    return torch.promote_types(value.dtype, torch.float32)


def _move(average: Mapping[str, Tensor], state: Mapping[str, Tensor], share: float) -> None:
    """Move averages by a share of the way to the present state."""
    floating = [name for name, value in average.items() if value.is_floating_point()]
    present = [state[name].to(average[name].dtype) for name in floating]
    torch._foreach_lerp_([average[name] for name in floating], present, share)
    for name in average.keys() - set(floating):
        average[name].copy_(state[name])
