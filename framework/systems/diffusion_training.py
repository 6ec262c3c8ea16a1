"""Training a small text-to-image model on captioned renders of toybox scenes: the bundled prior's recipe.

The network predicts the clean image, under a cosine schedule; the text encoder is trained jointly. The camera reaches the
UNet through its class embedding and is withheld half of the time, so that the same weights serve guidance by text alone
and by text and camera. What is shipped is the moving average of the weights.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int
from rich.progress import track
from torch import Tensor, nn

from framework.core.errors import UserError
from framework.core.files import write_text
from framework.core.registries import SYSTEMS
from framework.core.run_config import RunConfig
from framework.core.step import Mode, StepInfo, named_generator
from framework.diffusion.camera_vector import AZIMUTH, CAMERA_DIM, camera_vector
from framework.diffusion.families.codecs import PixelCodec
from framework.diffusion.families.text import ClipText
from framework.diffusion.families.unet import UNetModel
from framework.diffusion.model_prior import ModelPrior
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.prediction import Prediction
from framework.diffusion.prior import Prior
from framework.diffusion.sampling import prompt_conditions, sample
from framework.structures.losses import LossTerms, TermOutput
from framework.systems.ahead import Ahead
from framework.systems.base import System
from framework.systems.image_error import background_weighted
from framework.systems.images import sheet
from framework.systems.prior_cameras import SIDES_PROMPTS, samples_from_sides, turned_camera_errors
from framework.systems.prior_quality import (
    JudgingConfig,
    MemorizingConfig,
    judged_samples,
    memorized_samples,
    right_objects,
)
from framework.toybox.batches import CaptionDistribution, ToyBatch, ToyDraw, training_batch, training_draw
from framework.toybox.captions import VOCABULARY
from framework.toybox.judge.weights import has_bundled_judge
from framework.toybox.tokens import build_tokenizer
from framework.toybox.views import ViewDistribution

_LEAST_VARIANCE = 0.05
SHEET_PROMPTS = (
    "a red cube, front view",
    "a blue robot, front view",
    "a blue robot, back view",
    "a snowman, front view",
    "a snowman, side view",
    "a red mushroom, side view",
    "a green car, side view",
    "a yellow duck, front view",
    "a purple ring, front view",
    "a brown chair, side view",
    "a white mug, side view",
    "a red rocket, side view",
    "a yellow house, front view",
    "a brown bear, front view",
    "a red cube on top of a blue cylinder, side view",
    "a yellow sphere next to a green cone, front view",
)


@dataclass(kw_only=True, frozen=True)
class ModelConfig:
    """Shape of the network."""

    channels: tuple[int, ...] = (96, 128, 128)
    """Channels of the UNet at each resolution."""
    attending_levels: int = 2
    """How many of the resolutions, the lowest ones, attend to the text and to all their pixels."""
    layers_per_block: int = 1
    """Residual layers at each resolution."""
    heads: int = 4
    """Attention heads."""
    groups: int = 8
    """Groups of group normalisation."""
    pixel_unshuffle: int = 4
    """Side of the pixel blocks that the UNet sees as channels. With 4, a step takes a third of the time that it takes
    with 2, and at equal time the model knows more of what matters to distillation: the rough image behind much noise."""
    text_width: int = 96
    """Width of the text encoder."""
    text_layers: int = 2
    """Layers of the text encoder."""

    def __post_init__(self) -> None:
        numbers = (self.layers_per_block, self.heads, self.groups, self.pixel_unshuffle, self.text_layers)
        if not self.channels or min(*self.channels, *numbers) < 1:
            raise ValueError("channels must not be empty, and every number of the model must be positive.")
        if not 1 <= self.attending_levels <= len(self.channels):
            raise ValueError(f"attending_levels must lie in [1, {len(self.channels)}], got {self.attending_levels}.")
        for divisor in ("groups", "heads"):
            if any(width % getattr(self, divisor) for width in self.channels):
                raise ValueError(f"channels {list(self.channels)} must be multiples of {divisor}.")
        if self.text_width < 1 or self.text_width % self.heads:
            raise ValueError(f"text_width must be a positive multiple of heads, got {self.text_width}.")


@SYSTEMS.register("diffusion-training")
class DiffusionTraining(System):
    """Train a pixel-space text-to-image model on the toybox (DDPM, arXiv:2006.11239)."""

    @dataclass(kw_only=True, frozen=True)
    class Config(System.Config):
        model: ModelConfig = field(default_factory=lambda: ModelConfig())
        """Shape of the network."""
        image_size: int = 64
        """Height and width of the images, pixels."""
        batch_size: int = 32
        """Images a step."""
        sides_per_scene: int = 1
        """From how many sides each scene of a batch is seen, evenly around it and in equal noise, so that its images differ
        in the camera alone: else chance differences between scenes hide what the azimuth means. MVDream trains on four."""
        contents: CaptionDistribution = field(default_factory=lambda: CaptionDistribution())
        """What the scenes show, and what their captions leave out."""
        azimuth_gain: float = 1.0
        """Factor on the first weights of the azimuth's sine and cosine, random or not. What they mean depends on the object,
        which small weights take far longer to begin to learn than what the elevation means."""
        num_timesteps: int = 1000
        """Steps of the cosine noise schedule."""
        caption_dropout: float = 0.12
        """How often the caption is withheld."""
        camera_dropout: float = 0.5
        """How often the camera is withheld."""
        ema_decay: float = 0.999
        """Decay of the moving average of the weights."""
        timestep_shift: float = 1.0
        """Shift s of the uniform timesteps, as fractions t of the schedule, to s t / (1 + (s - 1) t): above 1, more of them
        are noisy (arXiv:2403.03206, 5.3.2). An image shows its view until nearly all of it is noise, so that only the
        last of the noise levels teach what the camera means."""
        prediction: Literal["sample", "velocity"] = "sample"
        """What the network predicts. A clean image lies near few dimensions, which a narrow network can carry; a velocity
        contains the noise of every pixel, which it would have to pass through (arXiv:2511.13720)."""
        noise_level_balance: float = 0.1
        """Weight of the velocity's error in the loss, beside 1 for the error of the image. The velocity's alone is nearly
        all about fine noise, and teaches little about what stands behind much noise, where distillation asks."""
        background_weight: float = 1.0
        """Weight of the error in the mean colour of the background, beside 1 for all other errors. Where there is much
        noise, the colour of the background is what is least known, and its error drowns what the camera means."""
        start_from: str | None = None
        """A folder of weights to start from, `bundled` for those of the package; by default random ones."""
        sheet_guidance_scale: float = 5.0
        """Guidance scale of the sample sheet, and of the samples that are judged."""
        judged_prompts: int = 200
        """Trained prompts of which a sample is compared with true renders when the model is exported; 0 for none."""
        turned_cameras: int = 96
        """Images on which is then measured what the prior makes of the camera; 0 for none."""
        judging: JudgingConfig = field(default_factory=lambda: JudgingConfig())
        """Samples that the judge is shown then."""
        memorizing: MemorizingConfig = field(default_factory=lambda: MemorizingConfig())
        """Samples that are compared with training images then."""

        def __post_init__(self) -> None:
            if self.noise_level_balance < 0.0:
                raise ValueError(f"noise_level_balance must not be negative, got {self.noise_level_balance:g}.")
            if self.timestep_shift <= 0.0:
                raise ValueError(f"timestep_shift must be positive, got {self.timestep_shift:g}.")
            if self.sides_per_scene < 1 or self.batch_size % self.sides_per_scene:
                sizes = f"{self.batch_size} and {self.sides_per_scene}"
                raise ValueError(f"batch_size must be a multiple of sides_per_scene, got {sizes}.")
            if min(self.judged_prompts, self.turned_cameras) < 0:
                counts = f"{self.judged_prompts} and {self.turned_cameras}"
                raise ValueError(f"judged_prompts and turned_cameras must not be negative, got {counts}.")
            if self.azimuth_gain <= 0.0:
                raise ValueError(f"azimuth_gain must be positive, got {self.azimuth_gain:g}.")
            if self.batch_size < 1 or self.num_timesteps < 2:
                sizes = f"{self.batch_size} and {self.num_timesteps}"
                raise ValueError(f"batch_size must be at least 1 and num_timesteps at least 2, got {sizes}.")
            for name in ("caption_dropout", "camera_dropout", "ema_decay", "background_weight"):
                if not 0.0 <= getattr(self, name) <= 1.0:
                    raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name):g}.")
            if self.image_size % (self.model.pixel_unshuffle * 2 ** (len(self.model.channels) - 1)):
                raise ValueError(
                    f"image_size {self.image_size} cannot be halved as often as the model's channels need."
                )

    config: Config

    def __init__(self, config: Config, *, run: RunConfig, device: torch.device) -> None:
        super().__init__(config, run=run, device=device)
        with torch.random.fork_rng(devices=[]):
            # diffusers draws initial weights from the global generator; it is given back as it was.
            torch.manual_seed(named_generator(run.seed, "model").initial_seed())
            self.tokenizer = build_tokenizer()
            self.unet, self.text_encoder = _build_unet(config), _build_text_encoder(config.model, self.tokenizer)
        if config.start_from is not None:
            self._load_weights(config.start_from)
        with torch.no_grad():
            cast(Any, self.unet).class_embedding.linear_1.weight[:, list(AZIMUTH)] *= config.azimuth_gain
        self.average = nn.ModuleDict({"unet": self.unet, "text_encoder": self.text_encoder})
        self.average = copy.deepcopy(self.average).requires_grad_(False).eval()
        self.to(device)
        self.model = self._model(self.unet, self.text_encoder)
        self._batches = Ahead(self._batch)

    def training_step(self, step: StepInfo) -> LossTerms:
        batch = self._batches.take(step)
        schedule, generator = self.model.schedule, step.generator("diffusion", self.device)
        clean = self.model.codec.encode(batch.images)
        sides = self.config.sides_per_scene
        timestep = self._timesteps(len(clean) // sides, generator).repeat_interleave(sides)
        noise = torch.randn(len(clean) // sides, *clean.shape[1:], generator=generator, device=self.device)
        noise = noise.repeat_interleave(sides, dim=0)
        noisy = schedule.add_noise(clean, noise, timestep).noisy
        states, camera = self._conditions(batch, generator)
        raw = self.model.denoise(noisy, timestep, states, camera)
        alpha, sigma = schedule.at(timestep)
        predicted = Prediction(raw, noisy, alpha, sigma, self.config.prediction).sample
        # The error of the velocity is that of the image over sigma; towards no noise it would outgrow everything.
        weight = 1.0 + self.config.noise_level_balance / sigma.square().clamp(min=_LEAST_VARIANCE)
        share = self.config.background_weight
        error = background_weighted(predicted - clean, batch.renders.opacity.permute(0, 3, 1, 2), share)
        terms = LossTerms()
        terms.add("denoising", TermOutput({"denoising": (weight * error).mean()}), weight=1.0)
        return terms

    @torch.no_grad()
    def after_step(self, step: StepInfo) -> None:
        # A short memory at first, or the random start would be remembered for thousands of steps.
        decay = min(self.config.ema_decay, (1 + step.step) / (10 + step.step))
        present: list[Tensor] = [*self.unet.parameters(), *self.text_encoder.parameters()]
        kept: list[Tensor] = list(self.average.parameters())
        torch._foreach_lerp_(kept, present, 1.0 - decay)

    def images(self, step: StepInfo) -> Mapping[str, Float[Tensor, "H W 3"]]:
        """Samples of the averaged weights: one for each of `SHEET_PROMPTS`, and objects from all sides, a row for each."""
        samples, scale = self.sample(SHEET_PROMPTS, step), self.config.sheet_guidance_scale
        generator = step.generator("sides", self.device)
        sides = samples_from_sides(self.averaged_prior(), guidance_scale=scale, generator=generator)
        return {"samples": sheet(samples, columns=8), "sides": sheet(sides, columns=len(sides) // len(SIDES_PROMPTS))}

    def sample(self, prompts: tuple[str, ...], step: StepInfo) -> Float[Tensor, "B H W 3"]:
        """Images of prompts by the averaged weights."""
        prior = self.averaged_prior()
        conditions = prompt_conditions(prior, prompts)
        generator = step.generator("sheet", self.device)
        scale = self.config.sheet_guidance_scale
        return prior.decode(sample(prior, conditions, guidance_scale=scale, num_steps=30, generator=generator))

    def averaged_prior(self) -> ModelPrior:
        """The averaged weights as a prior."""
        model = self._model(self.average["unet"], self.average["text_encoder"])
        return ModelPrior(Prior.Config(), device=self.device, model=model)

    def export(self, folder: Path, step: StepInfo) -> list[Path]:
        """Write the averaged weights as a diffusers folder with its card; returns the files."""
        from framework.diffusion.families.folder import quiet_bars

        quiet_bars()
        target = folder / "prior"
        modules = {"unet": self.average["unet"], "text_encoder": self.average["text_encoder"]}
        for name, module in modules.items():
            half = copy.deepcopy(module).half()
            half.save_pretrained(str(target / name), safe_serialization=True)  # type: ignore[operator]
        self.tokenizer.save_pretrained(str(target / "tokenizer"))
        write_text(
            target / "scheduler" / "scheduler_config.json", json.dumps(_scheduler_config(self.config), indent=2) + "\n"
        )
        write_text(target / "card.json", json.dumps(self._card(step), indent=2) + "\n")
        # The index comes last: a folder without it is not taken for a model.
        write_text(target / "model_index.json", json.dumps(_index(self.config), indent=2) + "\n")
        return sorted(path for path in target.rglob("*") if path.is_file())

    def draws(self, step: StepInfo, mode: Mode, count: int) -> Iterator[ToyDraw]:
        """About `count` scenes of the steps before `step`, evenly spread: those trained on, or those of another mode."""
        options = self.config
        number = min(step.step, max(1, count // options.batch_size))
        for index in track(range(number), description="Repeating the draws of the training", transient=True):
            at = replace(step, step=index * step.step // number, mode=mode)
            yield training_draw(
                at.generator("toybox"),
                options.batch_size,
                size=options.image_size,
                contents=options.contents,
                sides=options.sides_per_scene,
            )

    def _timesteps(self, count: int, generator: torch.Generator) -> Int[Tensor, "B"]:
        """Noise levels, one for each scene."""
        number, shift = self.config.num_timesteps, self.config.timestep_shift
        uniform = torch.rand(count, generator=generator, device=self.device, dtype=torch.float64)
        shifted = shift * uniform / (1.0 + (shift - 1.0) * uniform)
        return (number * shifted).long().clamp(max=number - 1)

    def _batch(self, step: StepInfo) -> ToyBatch:
        options = self.config
        return training_batch(
            step.generator("toybox"),
            options.batch_size,
            size=options.image_size,
            contents=options.contents,
            sides=options.sides_per_scene,
            device=self.device,
        )

    def _conditions(self, batch: ToyBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        count = len(batch.captions)
        dropped = torch.rand(2, count, generator=generator, device=self.device)
        hides_caption = (dropped[0] < self.config.caption_dropout).tolist()
        captions = ["" if hidden else text for text, hidden in zip(batch.captions, hides_caption, strict=True)]
        states = self.text_encoder(self.model.text.tokenize(captions).to(self.device)).last_hidden_state
        views = batch.views
        camera = camera_vector(views.azimuth, views.elevation, views.cameras.fov_y, views.distance)
        return states, camera * (dropped[1] >= self.config.camera_dropout)[:, None]

    def _model(self, unet: nn.Module, text_encoder: nn.Module) -> UNetModel:
        return UNetModel(
            unet,
            text=ClipText(self.tokenizer, text_encoder),
            codec=PixelCodec(self.config.image_size, self.config.image_size),
            schedule=NoiseSchedule.cosine(self.config.num_timesteps),
            parameterization=self.config.prediction,
            pixel_unshuffle=self.config.model.pixel_unshuffle,
        )

    def _load_weights(self, source: str) -> None:
        from framework.diffusion.families.folder import ModelFolder
        from framework.diffusion.toybox import bundled_folder

        folder = ModelFolder.open(str(bundled_folder()) if source == "bundled" else source)
        cpu = torch.device("cpu")
        unet = folder.load("unet", type(self.unet), dtype=torch.float32, device=cpu)
        text = ClipText.load(folder, dtype=torch.float32, device=cpu)
        try:
            self.unet.load_state_dict(unet.state_dict())
            self.text_encoder.load_state_dict(text.encoder.state_dict())
            _renumber(self.text_encoder, text.tokenizer.get_vocab(), self.tokenizer.get_vocab())
        except RuntimeError as error:
            raise UserError(
                f"start_from: the weights in '{source}' are of another shape than `model`: {error}"
            ) from error

    def _card(self, step: StepInfo) -> dict[str, Any]:
        from framework.core.provenance import origin
        from framework.toybox.captions import BACK_AZIMUTH_DEG, FRONT_AZIMUTH_DEG, OVERHEAD_ELEVATION_DEG
        from framework.toybox.reference import reference_digest

        bins = {"front_deg": FRONT_AZIMUTH_DEG, "back_deg": BACK_AZIMUTH_DEG, "overhead_deg": OVERHEAD_ELEVATION_DEG}
        return {
            "vocabulary": list(VOCABULARY),
            "views": asdict(ViewDistribution()),
            "captions": asdict(self.config.contents),
            "view_words": bins,
            **origin(self.run, step),
            "reference_renders": reference_digest(),
            "quality": self._quality(step) or None,
        }

    def _quality(self, step: StepInfo) -> dict[str, Any]:
        options, prior = self.config, self.averaged_prior()
        scale = options.sheet_guidance_scale
        found: dict[str, Any] = {}
        if options.judged_prompts:
            generator = step.generator("quality")
            found |= right_objects(prior, count=options.judged_prompts, generator=generator, guidance_scale=scale)
        if options.turned_cameras:
            generator = step.generator("quality.camera")
            found["camera"] = turned_camera_errors(prior, count=options.turned_cameras, generator=generator)
        if options.judging.prompts and has_bundled_judge():
            generator = step.generator("quality.judge")
            found["judge"] = judged_samples(prior, options.judging, generator=generator, guidance_scale=scale)
        if options.memorizing.samples:
            found["memorising"] = memorized_samples(
                prior,
                options.memorizing,
                trained=self.draws(step, "train", options.memorizing.images),
                untrained=self.draws(step, "test", options.memorizing.images),
                generator=step.generator("quality.memorising"),
                guidance_scale=scale,
            )
        return found


def _renumber(text_encoder: nn.Module, old: Mapping[str, int], new: Mapping[str, int]) -> None:
    """Give each token the number it has in `new`, in place; tokens that `old` does not know keep what stands there."""
    table = cast(Any, text_encoder).get_input_embeddings().weight.data
    table[[new[token] for token in new if token in old]] = table[[old[token] for token in new if token in old]]


def _build_unet(config: DiffusionTraining.Config) -> nn.Module:
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import AttnProcessor

    shape = config.model
    channels = 3 * shape.pixel_unshuffle**2
    attending, plain = shape.attending_levels, len(shape.channels) - shape.attending_levels
    unet: Any = UNet2DConditionModel(
        sample_size=config.image_size // shape.pixel_unshuffle,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=shape.channels,
        layers_per_block=shape.layers_per_block,
        down_block_types=(*["DownBlock2D"] * plain, *["CrossAttnDownBlock2D"] * attending),
        up_block_types=(*["CrossAttnUpBlock2D"] * attending, *["UpBlock2D"] * plain),
        cross_attention_dim=shape.text_width,
        attention_head_dim=shape.heads,  # diffusers reads this as the number of heads.
        norm_num_groups=shape.groups,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=CAMERA_DIM,
        # The caption as a whole reaches every layer with the timestep, not only those that attend to its words.
        addition_embed_type="text",
        addition_embed_type_num_heads=shape.heads,
    )
    nn.init.zeros_(unet.add_embedding.norm2.weight)  # it begins without a say
    # The fused attention's backward pass takes a quarter of a training step on a CPU; plain products do not.
    unet.set_attn_processor(AttnProcessor())
    return cast(nn.Module, unet)


def _build_text_encoder(shape: ModelConfig, tokenizer: Any) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.text_width,
        intermediate_size=4 * shape.text_width,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def _scheduler_config(config: DiffusionTraining.Config) -> dict[str, Any]:
    return {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": config.num_timesteps,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": {"velocity": "v_prediction", "sample": "sample"}[config.prediction],
        "clip_sample": True,
        "set_alpha_to_one": False,
        "steps_offset": 0,
    }


def _index(config: DiffusionTraining.Config) -> dict[str, Any]:
    return {
        "_class_name": "PixelTextToImagePipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "pixel_unshuffle": config.model.pixel_unshuffle,
        "value_range": [-1, 1],
    }
