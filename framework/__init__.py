"""Distill3D: text and images to 3D by distilling 2D diffusion models."""

from __future__ import annotations

import os
from typing import Any

# Torch's and Warp's threads take turns on the same cores. By default OpenMP's spin while they wait for work, which makes
# training several times slower; asleep at once, they would be woken for each layer of a small network, which costs more
# than many of them. So they spin for some microseconds. The variables are read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_LIBRARY = (
    *("ASD", "CSD", "DDS", "ISM", "NFSD", "PDS", "RFDS", "SDI", "SDS", "VSD"),
    *("Bridge", "HiFA", "Rule", "load_prior"),
)


def __getattr__(name: str) -> Any:
    """What plain loops use, imported when it is asked for: the command line answers before torch is there."""
    if name not in _LIBRARY:
        raise AttributeError(f"module 'framework' has no attribute '{name}'")
    from framework.guidance import library

    return getattr(library, name)
