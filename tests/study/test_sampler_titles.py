from __future__ import annotations

from types import SimpleNamespace

import pytest

from invdiff.study.figures import title_of
from invdiff.study.sampling import KINDS, sampler_config


@pytest.mark.parametrize("kind", KINDS)
def test_every_sampler_has_a_title(kind) -> None:
    experiment = SimpleNamespace(sampler=sampler_config(kind))
    title = title_of(SimpleNamespace(experiment=experiment), "")
    assert title.lower().replace("-", "") == kind.replace("-", "")
