"""Light from all directions: a panorama, blurred once for every roughness that a surface may have.

A panorama has H rows from straight up to straight down and 2 H columns; its middle is the front (+x, azimuth 0), and its
left half the object's left (+y), as one sees it from inside. Values are linear radiance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.errors import UserError
from framework.materials.microfacets import LEAST_ALPHA, ggx
from framework.materials.radiance_hdr import read_hdr
from framework.structures.srgb import to_linear

_LEVELS = 8  # roughness 0, 1/7, ..., 1

# Bright areas of the procedural sky: azimuth and elevation in degrees, radiance, sharpness, colour.
_LAMPS = (
    (50.0, 50.0, 12.0, 40.0, (1.0, 0.95, 0.85)),
    (-70.0, 35.0, 6.0, 25.0, (0.85, 0.92, 1.0)),
    (170.0, 20.0, 4.0, 60.0, (1.0, 1.0, 1.0)),
)
_ZENITH, _HORIZON, _GROUND = (0.75, 0.85, 1.0), (1.0, 1.0, 0.98), (0.35, 0.32, 0.3)


class EnvironmentLight(nn.Module):
    """What a panorama shows to mirrors, rough and matte surfaces; it follows from its picture and is in no checkpoint.

    Args:
        panorama: Linear radiance.
        brightness: The panorama is scaled so that its mean over all directions is this: a white matte surface then
            shows this on average.

    Raises:
        ValueError: If the panorama is dark everywhere.
    """

    def __init__(self, panorama: Float[Tensor, "H W 3"], *, brightness: float = 1.0) -> None:
        super().__init__()
        mean = float((panorama.mean(dim=(1, 2)) * _sines(len(panorama))).sum() / _sines(len(panorama)).sum())
        if not 0.0 < mean < math.inf:
            raise ValueError(f"a panorama of mean radiance {mean:g} lights nothing.")
        image = panorama * (brightness / mean)
        rough = [blurred(image, _lobe(level / (_LEVELS - 1))) for level in range(1, _LEVELS)]
        self.register_buffer("levels", _wrapped([image, *rough]), persistent=False)
        self.register_buffer(
            "matte", _wrapped([blurred(image, lambda cosine: cosine.clamp_min(0.0))]), persistent=False
        )
        self.levels: Tensor  # (1, 3, L, H + 2, W + 2), continued by a texel across the seam and the poles
        self.matte: Tensor

    def mirrored(
        self, directions: Float[Tensor, "N 3"], roughness: Float[Tensor, "N"], *, turn: float = 0.0
    ) -> Float[Tensor, "N 3"]:
        """Mean radiance about reflected directions, weighted as a surface of this roughness does (Karis 2013).

        Args:
            directions: Unit vectors, world space.
            roughness: In [0, 1].
            turn: By how much the panorama is turned about the vertical axis, counter-clockwise from above, radians.
        """
        return _sampled(self.levels, directions, roughness, turn)

    def diffused(self, normals: Float[Tensor, "N 3"], *, turn: float = 0.0) -> Float[Tensor, "N 3"]:
        """Cosine-weighted mean radiance: what a white matte surface shows."""
        return _sampled(self.matte, normals, torch.zeros_like(normals[:, 0]), turn)


def panorama(light: str, *, rows: int) -> Float[Tensor, "H W 3"]:
    """The picture that a name or a path stands for: `sky`, `uniform`, or a file, reduced to `rows` rows.

    Files are equirectangular: Radiance .hdr, or anything else that Pillow reads, taken as sRGB.

    Raises:
        UserError: If the file is missing or unreadable, not twice as wide as high, or not of finite light.
    """
    if light == "uniform":
        return torch.ones(rows, 2 * rows, 3)
    return _sky(rows) if light == "sky" else _from_file(Path(light), rows)


def blurred(
    image: Float[Tensor, "H W 3"], kernel: Callable[[Float[Tensor, "H H W"]], Float[Tensor, "H H W"]]
) -> Float[Tensor, "H W 3"]:
    """Mean of a panorama about each of its directions, weighted by `kernel` of the cosine between two directions.

    On a panorama the weights depend on two rows and on how far two columns are apart, so the sum over columns is a
    circular convolution.
    """
    height, width = image.shape[:2]
    polar = (torch.arange(height) + 0.5) * (math.pi / height)
    turn = torch.arange(width) * (2.0 * math.pi / width)
    cosine, sine = polar.cos(), polar.sin()
    between = (cosine[:, None] * cosine)[..., None] + (sine[:, None] * sine)[..., None] * turn.cos()
    weights = kernel(between.clamp(-1.0, 1.0)) * sine[:, None]  # solid angle of the texel that is looked at
    weights = weights / weights.sum(dim=(1, 2), keepdim=True)
    spectrum = torch.einsum("oif,ifc->ofc", torch.fft.rfft(weights), torch.fft.rfft(image, dim=1))
    return torch.fft.irfft(spectrum, n=width, dim=1).clamp_min(0.0)


def directions_of(rows: int) -> Float[Tensor, "H W 3"]:
    """Unit vectors, world space, of the centres of a panorama's texels."""
    polar = (torch.arange(rows) + 0.5) * (math.pi / rows)
    azimuth = math.pi - (torch.arange(2 * rows) + 0.5) * (math.pi / rows)
    polar, azimuth = torch.meshgrid(polar, azimuth, indexing="ij")
    return torch.stack([polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()], dim=-1)


def _lobe(roughness: float) -> Callable[[Tensor], Tensor]:
    """Weights D n_l of light about the mirrored direction, the surface seen head-on."""
    alpha = torch.tensor(max(LEAST_ALPHA, roughness**2))
    # The half vector lies at half the angle.
    return lambda cosine: ggx(torch.sqrt(0.5 * (1.0 + cosine)), alpha) * cosine.clamp_min(0.0)


def _sky(rows: int) -> Float[Tensor, "H W 3"]:
    """A bright sky over darker ground, with three lamps."""
    directions = directions_of(rows)
    up = directions[..., 2:]
    zenith, horizon, ground = (torch.tensor(color) for color in (_ZENITH, _HORIZON, _GROUND))
    above = horizon + (zenith - horizon) * up.clamp_min(0.0)
    image = ground + (above - ground) * torch.sigmoid(12.0 * up)
    for azimuth_deg, elevation_deg, radiance, sharpness, color in _LAMPS:
        azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
        flat = math.cos(elevation)
        toward = torch.tensor([flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)])
        lobe = torch.exp(sharpness * (directions @ toward - 1.0))
        image = image + radiance * lobe[..., None] * torch.tensor(color)
    return image


def _from_file(path: Path, rows: int) -> Float[Tensor, "H W 3"]:
    if path.suffix.lower() == ".hdr":
        image = read_hdr(path)
    else:
        try:
            levels = imageio.imread(path, plugin="pillow", mode="RGB")
        except (OSError, SyntaxError) as error:  # Pillow reports broken chunks as SyntaxError
            raise UserError(
                f"{path}: not a panorama that can be read ({error}). Give 'sky', 'uniform', or an .hdr or image file."
            ) from error
        image = to_linear(torch.from_numpy(np.ascontiguousarray(levels)).float() / 255.0)
    if image.shape[1] != 2 * image.shape[0]:
        raise UserError(
            f"{path}: a panorama is twice as wide as high, but this is {image.shape[1]} x {image.shape[0]}."
        )
    if not bool(image.isfinite().all()) or float(image.max()) <= 0.0:
        raise UserError(f"{path}: its light is not finite, or it is dark everywhere.")
    return F.interpolate(image.permute(2, 0, 1)[None], (rows, 2 * rows), mode="area")[0].permute(1, 2, 0)


def _sines(rows: int) -> Float[Tensor, "H"]:
    return torch.sin((torch.arange(rows) + 0.5) * (math.pi / rows))


def _wrapped(images: list[Tensor]) -> Float[Tensor, "1 3 L H W"]:
    """Panoramas with one texel more on each side: beyond a pole lies the other side of the globe."""
    stacked = torch.stack(images).permute(3, 0, 1, 2)  # (3, L, H, W)
    half = stacked.shape[-1] // 2
    rows = [stacked[..., :1, :].roll(half, dims=-1), stacked, stacked[..., -1:, :].roll(half, dims=-1)]
    tall = torch.cat(rows, dim=-2)
    return torch.cat([tall[..., -1:], tall, tall[..., :1]], dim=-1)[None].contiguous()


def _sampled(
    levels: Float[Tensor, "1 3 L H W"], directions: Float[Tensor, "N 3"], level: Float[Tensor, "N"], turn: float
) -> Float[Tensor, "N 3"]:
    """Linear interpolation between texels and levels; `level` in [0, 1]."""
    count, height, width = levels.shape[2], levels.shape[3] - 2, levels.shape[4] - 2
    x, y, z = directions.unbind(dim=-1)
    # Straight up and down have no azimuth, and no gradient of it.
    is_pole = x.square() + y.square() < 1e-10
    x, y = torch.where(is_pole, 1.0, x), torch.where(is_pole, 0.0, y)
    azimuth = torch.atan2(y, x) - turn
    column = torch.remainder(0.5 - azimuth / (2.0 * math.pi), 1.0) * width
    polar = torch.where(is_pole, 0.5 * math.pi * (1.0 - z), torch.atan2(torch.sqrt(x.square() + y.square()), z))
    row = polar / math.pi * height
    # grid_sample counts from the outer edges of the outermost texels, from -1 to 1.
    places = torch.stack(
        [
            2.0 * (column + 1.0) / (width + 2) - 1.0,
            2.0 * (row + 1.0) / (height + 2) - 1.0,
            (2.0 * level * (count - 1) + 1.0) / count - 1.0,
        ],
        dim=-1,
    )
    found = F.grid_sample(levels, places[None, None, None], padding_mode="border", align_corners=False)
    return found[0, :, 0, 0].T
