"""Distill3D: text and images to 3D by distilling 2D diffusion models."""

import os

# Torch's and Warp's threads take turns on the same cores. By default OpenMP's spin while they wait for work, which makes
# training several times slower; the variable is read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
