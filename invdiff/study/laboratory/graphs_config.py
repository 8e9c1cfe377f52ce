"""The integrators that a study of graphs generates with."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field, NonNegativeFloat, PositiveFloat

from invdiff.graphs.corrector import Langevin, PredictorCorrector
from invdiff.graphs.exponential import Exponential
from invdiff.graphs.flow_ode import GraphHeun
from invdiff.graphs.integrator import GraphIntegrator
from invdiff.graphs.reverse_sde import EulerMaruyama, ReverseDiffusion
from invdiff.graphs.splitting import Splitting
from invdiff.study.base import Config
from invdiff.study.sampling import SamplerBase, config_of

__all__ = ["IntegratorBase", "IntegratorConfig", "LangevinConfig"]

_FAMILIES = {
    "exponential": "exponential integrator",
    "heun": "Heun's method",
    "euler": "Euler-Maruyama",
    "reverse": "reverse diffusion",
    "splitting": "symmetric splitting",
}


class LangevinConfig(Config):
    """A correction of both sides, see ``Langevin``.

    Args:
        snr: Signal to noise of a step.
        noise_scale: Factor of its noise.
    """

    snr: PositiveFloat = 0.05
    noise_scale: NonNegativeFloat = 0.7

    def build(self) -> Langevin:
        """Return the corrector."""
        return Langevin(self.snr, self.noise_scale)


class IntegratorBase(SamplerBase):
    """A way from noise to graphs, with a name.

    Args:
        label: Under which it is reported; made of the kind and the steps if not given.
    """

    label: str | None = Field(None, pattern=r"^[a-z][a-z0-9_]*$")

    @property
    def name(self) -> str:
        """Return what its metrics are called by."""
        words = [self._value("kind"), *(["langevin"] if self._value("langevin") else [])]
        return self.label or "_".join([*words, str(self._value("num_steps"))])

    @property
    def family(self) -> str:
        """Return its name in words, without the number of steps."""
        words = _FAMILIES[self._value("kind")]
        if noise := self._value("noise"):
            words += f", noise {noise:g}"
        return words + (" with Langevin" if self._value("langevin") else "")

    @property
    def title(self) -> str:
        """Return its name in words."""
        label = f" ({self.label.replace('_', ' ')})" if self.label else ""
        return f"{self.family}, {self._value('num_steps')} steps{label}"

    @property
    def line(self) -> str:
        """Return what integrators have in common that differ by nothing but their steps."""
        return repr(self.model_dump(exclude={"num_steps", "label"}))

    def build(self) -> GraphIntegrator:
        """Return the integrator."""
        numbers = self.model_dump(exclude={"kind", "label", "langevin"})
        return cast(GraphIntegrator, type(self).method(**numbers))

    def _value(self, name: str) -> Any:
        return getattr(self, name, None)


class _CorrectedBase(IntegratorBase):
    """Also with a correction before each step, for one call of the scores more."""

    langevin: LangevinConfig | None = None

    def build(self) -> GraphIntegrator:
        predictor = cast(Any, super().build())
        if self.langevin is None:
            return cast(GraphIntegrator, predictor)
        return PredictorCorrector(predictor, self.langevin.build())


class _SplittingBase(IntegratorBase):
    """Also with a correction by the score of the step."""

    langevin: LangevinConfig | None = LangevinConfig(snr=0.15)

    def build(self) -> GraphIntegrator:
        numbers = self.model_dump(exclude={"kind", "label", "langevin"})
        corrector = None if self.langevin is None else self.langevin.build()
        return Splitting(**numbers, corrector=corrector)


_KINDS: dict[str, Any] = {
    "exponential": config_of("exponential", Exponential, base=IntegratorBase),
    "heun": config_of("heun", GraphHeun, base=IntegratorBase),
    "euler": config_of("euler", EulerMaruyama, base=_CorrectedBase),
    "reverse": config_of("reverse", ReverseDiffusion, base=_CorrectedBase),
    "splitting": config_of("splitting", Splitting, ("corrector",), base=_SplittingBase),
}

if TYPE_CHECKING:
    IntegratorConfig = IntegratorBase  # made at run time, out of what is in _KINDS
else:
    IntegratorConfig = Annotated[reduce(or_, _KINDS.values()), Field(discriminator="kind")]
