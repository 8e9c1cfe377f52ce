from __future__ import annotations

import pytest
import torch

# small tensors on shared cores: waiting for a second thread costs up to fifty times the work
torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
