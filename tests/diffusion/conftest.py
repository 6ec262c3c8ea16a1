"""Tiny models in the layout of diffusers, built from configs: no download, a second to write; and views to ask about."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from tokenizers import pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from framework.structures.views import Views

WIDTH = 8
MAX_LENGTH = 16


def byte_tokenizer(*, pad_token: str = "<|endoftext|>") -> CLIPTokenizer:
    """A CLIP tokenizer of single bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    symbols = [*alphabet, *(symbol + "</w>" for symbol in alphabet), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {symbol: index for index, symbol in enumerate(symbols)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=MAX_LENGTH, pad_token=pad_token)


def write_tokenizer(folder: Path) -> int:
    """A CLIP tokenizer of single bytes; returns its size."""
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Draw every parameter, those that start as zeros included, so that no part of the network is silent."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


def write_folder(
    folder: Path,
    *,
    is_latent: bool,
    pixel_unshuffle: int = 1,
    has_camera: bool = False,
    learns_variance: bool = False,
    scheduler: dict[str, object] | None = None,
    variant: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """A text-to-image model with random weights."""
    channels = 4 if is_latent else 3 * pixel_unshuffle**2
    size = write_tokenizer(folder / "tokenizer")
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=size,
            hidden_size=WIDTH,
            intermediate_size=16,
            num_attention_heads=2,
            num_hidden_layers=2,
            max_position_embeddings=MAX_LENGTH,
            bos_token_id=size - 2,
            eos_token_id=size - 1,
            pad_token_id=size - 1,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels * (2 if learns_variance else 1),
        block_out_channels=(4, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=2,
        class_embed_type="projection" if has_camera else None,
        projection_class_embeddings_input_dim=7 if has_camera else None,
    )
    components = {"unet": unet, "text_encoder": text}
    if is_latent:
        components["vae"] = AutoencoderKL(
            block_out_channels=(4, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=2,
            latent_channels=4,
            scaling_factor=0.5,
            shift_factor=0.1,
        )
    for seed, (name, model) in enumerate(components.items()):
        randomise(model, seed)
        model.to(dtype).save_pretrained(folder / name, variant=variant)
    DDIMScheduler.from_config(scheduler or {"prediction_type": "v_prediction"}).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline" if is_latent else "PixelTextToImagePipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "unet": ["diffusers", "UNet2DConditionModel"],
    }
    extra = {"vae": ["diffusers", "AutoencoderKL"]} if is_latent else {"pixel_unshuffle": pixel_unshuffle}
    (folder / "model_index.json").write_text(json.dumps({**index, **extra}))
    return folder


class Tiny:
    """Small components with random weights, those that start as zeros included."""

    def __init__(self) -> None:
        self._count = 0

    def randomised(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model with weights that only the number of models before it decides."""
        self._count += 1
        generator = torch.Generator().manual_seed(self._count)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                draw = torch.randn(parameter.shape, generator=generator)
                if parameter.ndim > 1:
                    parameter.copy_(draw / parameter[0].numel() ** 0.5)
                else:  # scales of normalisations stay near 1
                    parameter.copy_(0.2 * draw + (0.0 if name.endswith("bias") else 1.0))
        return model.eval()

    def clip(
        self, width: int, *, projection: int | None = None, pad_token: str = "<|endoftext|>"
    ) -> tuple[CLIPTokenizer, torch.nn.Module]:
        """A tokenizer of bytes with a text model, by default without projection."""
        tokenizer = byte_tokenizer(pad_token=pad_token)
        size = len(tokenizer)
        config = CLIPTextConfig(
            vocab_size=size,
            hidden_size=width,
            intermediate_size=16,
            num_attention_heads=2,
            num_hidden_layers=2,
            max_position_embeddings=MAX_LENGTH,
            projection_dim=projection or width,
            bos_token_id=size - 2,
            eos_token_id=size - 1,
            pad_token_id=tokenizer.pad_token_id,
        )
        kind = CLIPTextModel if projection is None else CLIPTextModelWithProjection
        return tokenizer, self.randomised(kind(config))

    def t5(self, width: int) -> tuple[T5Tokenizer, torch.nn.Module]:
        """A tokenizer of letters with an encoder."""
        letters = ["\u2581", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,."]
        vocabulary = [(symbol, 0.0) for symbol in ("<pad>", "</s>", "<unk>")] + [(letter, -2.0) for letter in letters]
        tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=512)
        config = T5Config(
            vocab_size=len(vocabulary),
            d_model=width,
            d_kv=4,
            d_ff=16,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
        )
        return tokenizer, self.randomised(T5EncoderModel(config))

    def autoencoder(self, channels: int, **config: object) -> torch.nn.Module:
        """An autoencoder whose latents are half the size of its images."""
        return self.randomised(
            AutoencoderKL(
                block_out_channels=(4, 8),
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                norm_num_groups=2,
                latent_channels=channels,
                **config,
            )
        )


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test finds the embeddings of another, which may have been made by a model that is broken on purpose."""
    monkeypatch.setenv("DISTILL3D_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """Builds small components."""
    return Tiny()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a tiny model; its arguments are those of `write_folder`."""

    def write(**options: object) -> Path:
        return write_folder(tmp_path_factory.mktemp("model"), **options)  # type: ignore[arg-type]

    return write


@pytest.fixture(scope="session")
def latent_folder(model_folder: Callable[..., Path]) -> Path:
    """A model like Stable Diffusion."""
    return model_folder(is_latent=True)


@pytest.fixture(scope="session")
def pixel_folder(model_folder: Callable[..., Path]) -> Path:
    """A model like the toybox prior, told the camera."""
    return model_folder(is_latent=False, pixel_unshuffle=2, has_camera=True)


@pytest.fixture
def views() -> Views:
    """Two views, 16 x 16 pixels."""
    return Views.orbit(
        torch.tensor([0.0, 2.0]),
        torch.tensor([0.3, -0.1]),
        torch.tensor([3.0, 2.5]),
        torch.tensor([0.7, 0.8]),
        height=16,
        width=16,
    )
