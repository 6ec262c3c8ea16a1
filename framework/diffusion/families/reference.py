"""Two sampling steps by diffusers' own pipeline, for comparison with those of a prior.

The pipeline is the one that the model folder names, with its scheduler exchanged for a deterministic one of the same noise
schedule: DDIM for diffusion, Euler for flow. Both move along x = alpha x_0 + sigma eps, as `sampling.sample` does. Pixel
models of this project have no pipeline there; for them the loop below calls the parts of diffusers and transformers by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from framework.core.errors import UserError
from framework.diffusion.families.folder import ModelFolder, quiet_bars
from framework.diffusion.families.strict import components_with_weights
from framework.diffusion.noise_schedule import is_flow

NUM_STEPS = 2
PLAIN = "PixelTextToImagePipeline"
"""The class name of pixel models that diffusers has no pipeline for."""


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """What both sides start from.

    Attributes:
        prompt: The only prompt.
        guidance_scale: s in uncond + s (cond - uncond); 1 evaluates no unconditional row.
        embedded_guidance_scale: What a guidance-distilled denoiser is told; None if it is told none.
        text_length: Number of T5 tokens; None where there is no choice.
        image_size: Height and width of the images, pixels.
        noise: The start; its values are those of the precision that is sampled in.
    """

    prompt: str
    guidance_scale: float
    embedded_guidance_scale: float | None
    text_length: int | None
    image_size: tuple[int, int]
    noise: Float[Tensor, "1 C h w"]


def timesteps_of(config: Mapping[str, Any]) -> list[int]:
    """The timesteps of the two steps, by the `scheduler_config.json` of the model.

    Flow begins at pure noise. Diffusion begins in the middle: dividing by the little signal of its last timesteps would
    make much of rounding.
    """
    count = int(config.get("num_train_timesteps", 1000))
    if is_flow(config):
        return [count - 1, count // NUM_STEPS - 1]
    offset = int(config.get("steps_offset", 0))
    return [count // NUM_STEPS + offset, offset]


@torch.no_grad()
def reference_sample(
    folder: ModelFolder, plan: SamplingPlan, *, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "1 C h w"]:
    """The clean sample after two steps, in float32 on the CPU.

    Raises:
        UserError: If diffusers cannot load the folder as the pipeline that it names.
    """
    if folder.index["_class_name"] == PLAIN:
        return _plain_sample(folder, plan, dtype=dtype, device=device)
    pipeline = _load_pipeline(folder, dtype)
    config = folder.read("scheduler", "scheduler_config.json")
    pipeline.scheduler = _deterministic(config)
    pipeline.set_progress_bar_config(disable=True)
    if device.type == "cuda":  # one part at a time, as the prior has its text encoders
        pipeline.enable_model_cpu_offload(device=device)
    noise = plan.noise.to(device=device, dtype=dtype)
    height, width = plan.image_size
    settings: dict[str, Any] = {"prompt": [plan.prompt], "num_inference_steps": NUM_STEPS, "return_dict": False}
    settings |= {"height": height, "width": width, "output_type": "latent", "guidance_scale": plan.guidance_scale}
    if is_flow(config):
        count = int(config.get("num_train_timesteps", 1000))
        settings["sigmas"] = [(index + 1) / count for index in timesteps_of(config)]
    name = type(pipeline).__name__
    if name == "IFPipeline":
        pipeline.prepare_intermediate_images = lambda *sizes: noise  # which it would draw by itself
        settings |= {"output_type": "pt", "clean_caption": False}
        return pipeline(**settings)[0].float().cpu()
    if name != "FluxPipeline":
        return pipeline(latents=noise, **settings)[0].float().cpu()
    settings["guidance_scale"] = plan.embedded_guidance_scale or 0.0
    if plan.text_length is not None:
        settings["max_sequence_length"] = plan.text_length
    packed = pipeline._pack_latents(noise, *noise.shape)
    tokens = pipeline(latents=packed, **settings)[0]
    return pipeline._unpack_latents(tokens, height, width, pipeline.vae_scale_factor).float().cpu()


def _load_pipeline(folder: ModelFolder, dtype: torch.dtype) -> Any:
    """The pipeline from text to images, without safety checkers, watermarks and image encoders."""
    import diffusers

    quiet_bars()
    name = str(folder.index["_class_name"]).replace("Img2Img", "").replace("Inpaint", "")
    kind: Any = getattr(diffusers, name)
    read = {*components_with_weights(folder), "scheduler"}
    read |= {part for part in folder.index if part.startswith("tokenizer") and folder.has(part)}
    listed = {part for part, value in folder.index.items() if isinstance(value, list)}
    absent: dict[str, Any] = dict.fromkeys((listed | set(kind._optional_components)) - read)
    if "safety_checker" in absent:
        absent["requires_safety_checker"] = False
    if name == "StableDiffusionXLPipeline":
        absent["add_watermarker"] = False
    try:
        return kind.from_pretrained(
            str(folder.path),
            variant=folder.variant,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            **absent,
        )
    except Exception as error:  # Whatever diffusers stumbles over, it does not take the folder for this pipeline.
        raise UserError(f"Model '{folder.name}': diffusers could not load it as a {name}: {error}") from error


def _deterministic(config: Mapping[str, Any]) -> Any:
    from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

    if is_flow(config):
        shapes = dict.fromkeys(("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"), False)
        # A shift by the size of the image is a matter of sampling; the line of the training has none.
        dynamic = {"use_dynamic_shifting": False, "shift": 1.0} if config.get("use_dynamic_shifting") else {}
        return FlowMatchEulerDiscreteScheduler.from_config({**config, **shapes, **dynamic, "shift_terminal": None})
    changes = {
        "clip_sample": False,
        "thresholding": False,
        "set_alpha_to_one": True,  # down to the clean sample
        "timestep_spacing": "leading",
        "variance_type": "fixed_small",  # learned variances are not used without noise
    }
    return DDIMScheduler.from_config({**config, **changes})


def _plain_sample(
    folder: ModelFolder, plan: SamplingPlan, *, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "1 C h w"]:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    path, block = str(folder.path), int(folder.index.get("pixel_unshuffle", 1))
    tokenizer = CLIPTokenizer.from_pretrained(path, subfolder="tokenizer")
    encoder: Any = CLIPTextModel.from_pretrained(path, subfolder="text_encoder", dtype=dtype)
    unet: Any = UNet2DConditionModel.from_pretrained(path, subfolder="unet", dtype=dtype)
    encoder, unet = (model.to(device).eval() for model in (encoder, unet))
    scheduler = _deterministic(folder.read("scheduler", "scheduler_config.json"))
    scheduler.set_timesteps(NUM_STEPS)
    length = encoder.config.max_position_embeddings
    tokens = tokenizer(["", plan.prompt], padding="max_length", max_length=length, return_tensors="pt")
    states = encoder(tokens.input_ids.to(device))[0]
    camera = unet.config.projection_class_embeddings_input_dim
    labels = None if camera is None else torch.zeros(2, camera, dtype=dtype, device=device)  # no camera is known
    x_t = plan.noise.to(device=device)
    for timestep in scheduler.timesteps:
        blocks = F.pixel_unshuffle(x_t, block).repeat(2, 1, 1, 1).to(dtype)
        output = unet(blocks, timestep, states, class_labels=labels).sample[:, : blocks.shape[1]].float()
        none, wanted = F.pixel_shuffle(output, block).chunk(2)
        guided = torch.lerp(none, wanted, plan.guidance_scale)
        x_t = scheduler.step(guided, timestep, x_t).prev_sample
    return x_t.float().cpu()
