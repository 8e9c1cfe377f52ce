"""The networks that a converted checkpoint may be of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor

from invdiff.priors.architectures.adm import ADMSettings, ADMUNet
from invdiff.priors.architectures.adm_shapes import ADM_PRESETS, adm_preconditioning, infer_adm
from invdiff.priors.architectures.edm_meanings import edm_preconditioning
from invdiff.priors.architectures.edm_unet import (
    DhariwalSettings,
    DhariwalUNet,
    infer_dhariwal,
)
from invdiff.priors.architectures.image_network import ImageNetwork
from invdiff.priors.architectures.ncsnpp import NCSNpp
from invdiff.priors.architectures.ncsnpp_settings import NCSNppSettings
from invdiff.priors.architectures.ncsnpp_shapes import (
    infer_ncsnpp,
    ncsnpp_data_range,
    ncsnpp_preconditioning,
    ncsnpp_tables,
)
from invdiff.priors.architectures.score_presets import NCSNPP_PRESETS, SONG_PRESETS
from invdiff.priors.architectures.song_settings import SongSettings
from invdiff.priors.architectures.song_shapes import infer_song
from invdiff.priors.architectures.song_unet import SongUNet
from invdiff.priors.preconditioning import Preconditioning

__all__ = ["ARCHITECTURES", "Architecture"]


class Architecture(NamedTuple):
    """How a network is made from its settings.

    Attributes:
        settings: A frozen dataclass of numbers, words and tuples of numbers, as JSON can hold.
        network: Makes the network from the settings; all its tensors are in its ``state_dict``.
        infer: Finds what it can of the settings in the names and shapes of a state dict;
            ``LookupError`` or ``ValueError`` if it is of another network.
        preconditioning: What the output means, from the settings.
        presets: Settings of public checkpoints, by the names of their files.
        data_range: Range of the images that the network takes, from the settings.
        tables: Tensors that a file may lack, as the settings say them.
    """

    settings: type[Any]
    network: Callable[[Any], ImageNetwork]
    infer: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    preconditioning: Callable[[Any], Preconditioning]
    presets: Mapping[str, Any] = MappingProxyType({})
    data_range: Callable[[Any], tuple[float, float]] = lambda settings: (-1.0, 1.0)
    tables: Callable[[Any], Mapping[str, Tensor]] = lambda settings: {}


ARCHITECTURES: dict[str, Architecture] = {
    "adm": Architecture(ADMSettings, ADMUNet, infer_adm, adm_preconditioning, ADM_PRESETS),
    "dhariwal": Architecture(DhariwalSettings, DhariwalUNet, infer_dhariwal, edm_preconditioning),
    "ncsnpp": Architecture(
        NCSNppSettings,
        NCSNpp,
        infer_ncsnpp,
        ncsnpp_preconditioning,
        NCSNPP_PRESETS,
        ncsnpp_data_range,
        ncsnpp_tables,
    ),
    "song": Architecture(SongSettings, SongUNet, infer_song, edm_preconditioning, SONG_PRESETS),
}
