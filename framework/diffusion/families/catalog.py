"""Which family reads which kind of model, by the class name of the pipeline in `model_index.json`."""

from __future__ import annotations

import importlib

from framework.core.errors import UserError
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import TextToImageModel
from framework.diffusion.families.options import LoadOptions

_UNET = "framework.diffusion.families.unet:UNetModel"
_SDXL = "framework.diffusion.families.stable_diffusion_xl:StableDiffusionXL"
_SD3 = "framework.diffusion.families.stable_diffusion_3:StableDiffusion3"
_FLUX = "framework.diffusion.families.flux:Flux"
_DEEPFLOYD = "framework.diffusion.families.deepfloyd:DeepFloyd"
_PIX2PIX = "framework.diffusion.families.instruct_pix2pix:InstructPix2Pix"

# Pipelines of one model for other tasks hold the same components.
FAMILIES = {
    "StableDiffusionPipeline": _UNET,
    "StableDiffusionImg2ImgPipeline": _UNET,
    "StableDiffusionInpaintPipeline": _UNET,
    "PixelTextToImagePipeline": _UNET,
    "StableDiffusionXLPipeline": _SDXL,
    "StableDiffusionXLImg2ImgPipeline": _SDXL,
    "StableDiffusion3Pipeline": _SD3,
    "StableDiffusion3Img2ImgPipeline": _SD3,
    "FluxPipeline": _FLUX,
    "FluxImg2ImgPipeline": _FLUX,
    "IFPipeline": _DEEPFLOYD,
    "IFImg2ImgPipeline": _DEEPFLOYD,
    "StableDiffusionInstructPix2PixPipeline": _PIX2PIX,
}


def family_of(folder: ModelFolder) -> type[TextToImageModel]:
    """The family that reads the model in a folder.

    Raises:
        UserError: If its `model_index.json` names no pipeline, or one that no family reads.
    """
    name = folder.index.get("_class_name")
    if name not in FAMILIES:
        stated = "does not name its pipeline (_class_name)" if name is None else f"is a {name}, which is not supported"
        raise UserError(f"Model '{folder.name}' {stated}. Supported: {', '.join(FAMILIES)}.")
    module, _, attribute = FAMILIES[name].partition(":")
    family: type[TextToImageModel] = getattr(importlib.import_module(module), attribute)
    return family


def load_model(folder: ModelFolder, options: LoadOptions) -> TextToImageModel:
    """The model in a folder, by the family that its index names.

    Raises:
        UserError: If there is no such family, or for the reasons of `TextToImageModel.load`.
    """
    return family_of(folder).load(folder, options)
