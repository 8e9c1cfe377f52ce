"""The sub-command that makes a prior of a checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from invdiff.study.options import OutFolder, SetValues

__all__ = ["Convert"]


@dataclass(frozen=True)
class Convert:
    """Make a prior of the checkpoint of another project.

    Args:
        checkpoint: Weights by name, as safetensors or as torch.save wrote them.
        out: New folder for the prior; experiments name it as prior.name.
        architecture: The network: adm (guided-diffusion), dhariwal or song (EDM), or ncsnpp
            (score_sde).
        preset: Settings of a public checkpoint, such as 256x256_diffusion_uncond; an unknown name
            lists those of the architecture.
        set: What shapes and preset don't say, such as num_head_channels=64.
        info: A JSON or YAML file of what prior.json says: title, data_range, classes.
        last: Take the weights of the last step, not their average.
    """

    checkpoint: Positional[Annotated[Path, arg(metavar="CHECKPOINT")]]
    out: OutFolder
    architecture: Annotated[str, arg(metavar="NAME")]
    preset: Annotated[str | None, arg(metavar="NAME")] = None
    set: SetValues = ()
    info: Annotated[Path | None, arg(metavar="FILE")] = None
    last: bool = False

    def __call__(self) -> None:
        """Write the folder."""
        from invdiff.priors.conversion import convert_checkpoint

        info = {} if self.info is None else _mapping(_yaml(self.info.read_text(), str(self.info)))
        folder = convert_checkpoint(
            self.checkpoint, self.out, self.architecture, self._settings(), info,
            ema=not self.last,
        )  # fmt: skip
        print(f"prior: {folder.resolve()}")

    def _settings(self) -> dict[str, Any]:
        from invdiff.priors.architectures.registry import ARCHITECTURES

        kind = ARCHITECTURES.get(self.architecture)
        presets = {} if kind is None else kind.presets
        if self.preset is None:
            settings = {}
        elif self.preset in presets:
            settings = dataclasses.asdict(presets[self.preset])
        else:
            known = ", ".join(presets) or "none"
            raise ValueError(f"--preset: expected one of {known}, got {self.preset}")
        for entry in self.set:
            name, equals, text = entry.partition("=")
            if not equals:
                raise ValueError(f"--set: expected KEY=VALUE, got {entry}")
            settings[name] = _yaml(text, f"--set {name}")
        return settings


def _mapping(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"--info: expected a mapping, got {type(content).__name__}")
    return content


def _yaml(text: str, name: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name}: not valid YAML ({' '.join(str(error).split())})") from error
