from __future__ import annotations

import os

import pytest
import torch

# triton reads it when it is first imported, by whichever package; a GPU compiles the kernels
os.environ.setdefault("TRITON_INTERPRET", "0" if torch.cuda.is_available() else "1")

# small tensors on shared cores: waiting for a second thread costs up to fifty times the work
torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(
    params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)],
)
def kernel_device(request: pytest.FixtureRequest) -> torch.device:
    """Where Triton kernels run: interpreted on the CPU, or compiled on a GPU, not both at once."""
    interpreted = os.environ["TRITON_INTERPRET"] == "1"
    if request.param == "cpu" and not interpreted:
        pytest.skip("kernels are compiled, not interpreted (TRITON_INTERPRET)")
    if request.param == "cuda" and (interpreted or not torch.cuda.is_available()):
        pytest.skip("needs a CUDA device and TRITON_INTERPRET=0")
    return torch.device(request.param)
