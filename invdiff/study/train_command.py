"""The ``invdiff train`` command, alone or under ``accelerate launch``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from invdiff.study.options import OutFolder, SetValues, run_and_print

__all__ = ["Train"]

# a sample must not take the place of what was asked for, and what a recipe says of its data is
# not true of others
_OWN_SLICES = ("fallback=null", "prior.licence=not stated")


@dataclass(frozen=True)
class Train:
    """Train a prior on a folder of scans or an archive of slices, and write it with its report.

    Or a router between priors that were trained apart, which makes one prior of them.

    Under accelerate launch -m invdiff, all processes train it together.

    Args:
        config: A YAML file, or the name of a shipped experiment such as train_tiny_ct.
        out: New folder for the prior and its report; live.html in DIR.partial shows the loss.
        set: Change a value of the configuration, such as slices.path=scans.
        device: Where to train, such as cuda; as the configuration says (cpu) if not given.
        overwrite: Replace an earlier result in that folder.
        resume: Go on with an interrupted training, to the same bits.
    """

    config: Positional[Annotated[str, arg(metavar="CONFIG")]]
    out: OutFolder
    set: SetValues = ()
    device: Annotated[str | None, arg(metavar="DEVICE")] = None
    overwrite: bool = False
    resume: bool = False

    def __call__(self) -> None:
        """Run it."""
        from invdiff.study.folder import partial_of
        from invdiff.study.load import load_study
        from invdiff.study.trains import TrainingStudy
        from invdiff.training import Processes

        device = () if self.device is None else (f"device={self.device}",)
        named = any(word.startswith("slices.path=") for word in self.set)
        study = load_study(self.config, (*(_OWN_SLICES if named else ()), *self.set, *device))
        if not isinstance(study, TrainingStudy):
            kind = getattr(study, "kind", "a reconstruction")
            raise ValueError(f"{self.config}: is no training but {kind}: invdiff run")
        if not Processes.launched(study.device).is_main:
            study.take_part(partial_of(self.out) / "stages")
            return
        try:
            run_and_print(study, self.out, self.overwrite, self.resume)
        except ValueError:
            study.end_parts(refused=True)
            raise
        study.end_parts()
