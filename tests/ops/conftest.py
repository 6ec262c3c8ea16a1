"""Every implementation on every device that is here; what is not is skipped with the reason."""

from __future__ import annotations

import pytest
import torch

from framework.ops.backends import BackendUnavailable, select


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each kind of device."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


@pytest.fixture(params=["torch", "warp"])
def backend(request: pytest.FixtureRequest, device: torch.device) -> str:
    """Each implementation that runs on `device`."""
    try:
        return select("compositing", device, request.param).name
    except BackendUnavailable as unavailable:
        pytest.skip(str(unavailable))


@pytest.fixture
def warp_backend(device: torch.device) -> str:
    """Warp, where it runs on `device`."""
    try:
        return select("compositing", device, "warp").name
    except BackendUnavailable as unavailable:
        pytest.skip(str(unavailable))


@pytest.fixture
def generator() -> torch.Generator:
    """A generator on the CPU with a fixed seed."""
    return torch.Generator().manual_seed(0)
