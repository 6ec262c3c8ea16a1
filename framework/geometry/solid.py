"""Which grid vertices belong to the solid: specks that float beside it are dropped, cavities inside it are filled.

A distilled field is foggy: light stops within its outer shell, so nothing ever trains the inside, which stays hollow or
full of debris. None of that can be seen, and in a mesh it costs faces and texture.
"""

from __future__ import annotations

import math

import numpy as np
import scipy  # Its parts are loaded when they are used: ndimage takes a third of a second.
import torch
from jaxtyping import Bool, Float
from torch import Tensor

_WITH_DIAGONALS = np.ones((3, 3, 3), dtype=bool)


def clean(signed: Float[Tensor, "N N N"], *, min_component_fraction: float, max_opening: int) -> Float[Tensor, "N N N"]:
    """A signed field without specks and cavities; unchanged at the visible surface.

    Args:
        signed: Positive inside.
        min_component_fraction: Connected parts with less than this share of all surface vertices are dropped.
        max_opening: Cavities count as closed if their openings are at most this many grid vertices wide, rounded up to
            an even number.
    """
    is_inside = (signed > 0.0).cpu().numpy()
    kept = without_specks(is_inside, min_component_fraction)
    filled = fill_cavities(kept, max_opening)
    dropped = torch.from_numpy(is_inside & ~filled).to(signed.device)
    added = torch.from_numpy(filled & ~is_inside).to(signed.device)
    return signed.masked_fill(dropped, -1.0).masked_fill(added, 1.0)


def without_specks(is_inside: Bool[np.ndarray, "N N N"], min_fraction: float) -> Bool[np.ndarray, "N N N"]:
    """The solid without parts whose surface is less than `min_fraction` of the whole surface.

    Surface, not volume, since a ball of a tenth of the size is small but seen. The largest part always stays.
    """
    labels, count = scipy.ndimage.label(is_inside, structure=_WITH_DIAGONALS)
    if count < 2:
        return is_inside
    is_surface = is_inside & ~scipy.ndimage.binary_erosion(is_inside)
    sizes = np.bincount(labels[is_surface], minlength=count + 1)
    is_kept = sizes >= min_fraction * sizes.sum()
    is_kept[sizes.argmax()] = True
    is_kept[0] = False
    return np.asarray(is_kept[labels])


def fill_cavities(is_inside: Bool[np.ndarray, "N N N"], max_opening: int) -> Bool[np.ndarray, "N N N"]:
    """The solid together with every empty room that the outside reaches only through openings up to `max_opening` wide.

    Grooves and holes that lead through stay as they are: only rooms that remain when the empty space is shrunk by half
    the opening's width, and that are then cut off from the outside, are filled.
    """
    radius = math.ceil(max_opening / 2)
    filled = is_inside
    if radius > 0:
        # Beyond the grid everything is empty and reachable.
        narrowed = scipy.ndimage.binary_erosion(
            ~is_inside, iterations=radius, structure=_WITH_DIAGONALS, border_value=1
        )
        rooms = _unreachable(narrowed)
        # `mask` keeps the regrown room within the empty space.
        filled = is_inside | scipy.ndimage.binary_dilation(
            rooms, iterations=radius, structure=_WITH_DIAGONALS, mask=~is_inside
        )
    return filled | _unreachable(~filled)


def _unreachable(is_empty: Bool[np.ndarray, "N N N"]) -> Bool[np.ndarray, "N N N"]:
    """The empty vertices that no path through faces joins to the border of the grid."""
    labels, _ = scipy.ndimage.label(np.pad(is_empty, 1, constant_values=True))
    return np.asarray(is_empty & (labels != labels[0, 0, 0])[1:-1, 1:-1, 1:-1])
