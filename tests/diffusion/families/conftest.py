"""The replay of a diffusers pipeline through a prior, and what can be wrong in one.

A hook on the pipeline's denoiser records what it was called with. The prior is then given the same prompts and latents; what
it calls its own denoiser with, what comes back, and what twenty sampling steps arrive at must be the same.
"""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from framework.diffusion.conditions import Conditions, TextEmbedding
from framework.diffusion.families.folder import ModelFolder
from framework.diffusion.families.model import TextToImageModel
from framework.diffusion.noise_schedule import NoiseSchedule
from framework.diffusion.pretrained import PretrainedPrior
from framework.diffusion.prior import Prior
from framework.systems import verification
from framework.systems.verification import Check, verify

CPU = torch.device("cpu")
PROMPTS = ["A red cube", "a dog"]
NUM_STEPS = 20


@dataclass
class Call:
    """One call of a denoiser: its arguments by name, those of nested mappings as `outer.inner`, and its output."""

    arguments: dict[str, object]
    output: Tensor


@dataclass
class Replay:
    """What a pipeline did with `PROMPTS`, and in what a prior differs from it.

    Attributes:
        folder: Where the pipeline was saved.
        denoiser: Name of the component that was listened to.
        call: The first of its calls.
        half_call: Runs the pipeline in bfloat16 and returns the first call.
        latents: The initial noise, (2, C, h, w), without loss in bfloat16.
        indices: The integer timesteps of the schedule that the steps belong to.
        guidance_scale: 1 where no unconditional row was evaluated.
        states: The latents (or pixels) after each step.
        image: What they became, (2, 3, H, W) in [0, 1].
        picture, encoded: An image (1, H, W, 3) and what the pipeline's autoencoder makes of it.
        computed: How the names of those arguments begin that hold what another network has computed.
    """

    computed: ClassVar[tuple[str, ...]] = ()

    folder: Path
    denoiser: str
    call: Call
    half_call: Callable[[], Call]
    latents: Tensor
    indices: list[int]
    guidance_scale: float
    states: list[Tensor]
    image: Tensor
    picture: Tensor
    encoded: Tensor

    def load(self, **options: object) -> PretrainedPrior:
        """The prior in the folder; embeddings are of its own making, not those that a wrong wiring left, unless asked for."""
        settings = {"cache_embeddings": False, **options}
        return PretrainedPrior(PretrainedPrior.Config(model=str(self.folder), **settings), device=CPU)

    def conditions(self, prior: Prior) -> Conditions:
        """The prompts, after the unconditional row that pipelines put first."""
        text = prior.encode_text([*PROMPTS, ""])
        rows = [[0, 1]] if self.guidance_scale == 1.0 else [[2, 2], [0, 1]]
        return Conditions(text[torch.tensor(rows)], torch.ones(len(rows), 2))

    @torch.no_grad()
    def differences(self, prior: PretrainedPrior) -> Iterator[str]:
        """What the prior does otherwise than the pipeline, what is found quickly first."""
        conditions = self.conditions(prior)
        yield from self.call_differences(prior, self.call, conditions)
        images = prior.decode(self.states[-1]).permute(0, 3, 1, 2)
        if images.shape != self.image.shape or not torch.allclose(images, self.image, atol=1e-4):
            yield "decoded images differ"
        if not torch.allclose(prior.encode(self.picture), self.encoded, atol=1e-4):
            yield "encoded images differ"
        for step, (ours, theirs) in enumerate(zip(self.sample(prior, conditions), self.states, strict=True)):
            if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * theirs.std().item()):
                yield f"samples after step {step} differ by {(ours - theirs).abs().max():.3g}"

    @torch.no_grad()
    def call_differences(self, prior: PretrainedPrior, theirs: Call, conditions: Conditions) -> Iterator[str]:
        """In what the prior's call of its denoiser and the output differ from the pipeline's first call."""
        noisy = self.latents
        if "sample" in theirs.arguments:  # as scaled by the pipeline's scheduler, which rounds on the way
            noisy = theirs.arguments["sample"][-2:, : self.latents.shape[1]].float()
        timestep = torch.full((2,), self.indices[0])
        (ours,) = record(getattr(prior.model, self.denoiser), lambda: prior.predict(noisy, timestep, conditions))
        if ours.arguments.keys() != theirs.arguments.keys():
            yield f"arguments are {sorted(ours.arguments)}, not {sorted(theirs.arguments)}"
        for name in ours.arguments.keys() & theirs.arguments.keys():
            is_equal = is_close if name.startswith(self.computed) else is_same
            if not is_equal(ours.arguments[name], theirs.arguments[name]):
                yield f"argument {name} differs"
        if not is_close(ours.output, theirs.output):
            yield "outputs differ"

    def half_differences(self, **options: object) -> list[str]:
        """In what the first call differs where denoiser and text encoders work in bfloat16; `options` are those of `load`."""
        prior = self.load(dtype="bfloat16", **options)
        return list(self.call_differences(prior, self.half_call(), self.conditions(prior)))

    def differences_from_disk(self, patch: pytest.MonkeyPatch, **options: object) -> list[str]:
        """In what the first call differs where the embeddings are those that an earlier prior left on disk."""
        self.conditions(self.load(cache_embeddings=True, **options))
        prior = self.load(cache_embeddings=True, **options)
        patch.setattr(prior.model, "encode_text", lambda prompts: pytest.fail("the text encoders were used"))
        with torch.no_grad():
            return list(self.call_differences(prior, self.call, self.conditions(prior)))

    def without_effect(self, **options: object) -> Iterator[str]:
        """Which of the options that mean the same for every family change nothing in this one."""
        plain = self.load(**options)
        noisy, timestep, conditions = self.latents, torch.full((2,), self.indices[0]), self.conditions(plain)
        for kernel in ("flash", "math"):
            prior = self.load(attention_backend=kernel, **options)
            if uses_flash(lambda prior=prior: prior.predict(noisy, timestep, conditions)) != (kernel == "flash"):
                yield f"attention_backend: {kernel}"
        if has_channels_innermost(plain) or not has_channels_innermost(self.load(channels_last=True, **options)):
            yield "channels_last"
        prior = self.load(layerwise_storage="float8_e4m3fn", **options)
        narrow = [part.dtype == torch.float8_e4m3fn for part in getattr(prior.model, self.denoiser).parameters()]
        with torch.no_grad():
            raw, exact = (each.predict(noisy, timestep, conditions).raw for each in (prior, plain))
        if not any(narrow) or torch.equal(raw, exact) or not torch.isfinite(raw).all():
            yield "layerwise_storage"

    def sample(self, prior: Prior, conditions: Conditions) -> Iterator[Tensor]:
        """The latents after each of the deterministic steps, and in the end the clean ones.

        One rule serves diffusion (DDIM, Euler) and flow, as x = alpha x_0 + sigma eps in both.
        """
        x_t = self.latents
        for index, following in zip(self.indices, [*self.indices[1:], None], strict=True):
            prediction = prior.predict(x_t, torch.full((2,), index), conditions)
            raw = prediction.raw[0] + self.guidance_scale * (prediction.raw[-1] - prediction.raw[0])
            guided = prediction.with_raw(raw)
            if following is None:
                yield guided.sample
                return
            alpha, sigma = prior.schedule.at(torch.full((2,), following))
            x_t = alpha * guided.sample + sigma * guided.epsilon
            yield x_t


def record(denoiser: torch.nn.Module, run: Callable[[], object]) -> list[Call]:
    """The calls of a denoiser while `run` runs; arguments that are left at None or empty are not listed."""
    calls: list[Call] = []
    signature = inspect.signature(denoiser.forward)

    def listen(module: torch.nn.Module, positional: tuple, named: dict, output: tuple[Tensor]) -> None:
        arguments = flat(signature.bind(*positional, **named).arguments)
        arguments.pop("return_dict")
        answer = output[0] if isinstance(output[0], Tensor) else output[0][0]  # a ControlNet's is a list of tensors
        calls.append(Call(arguments, answer.clone()))

    handle = denoiser.register_forward_hook(listen, with_kwargs=True)
    try:
        run()
    finally:
        handle.remove()
    return calls


def noisy_input(call: Call) -> Tensor:
    """The noisy samples in a call, once and not again for each condition."""
    name = "sample" if "sample" in call.arguments else "hidden_states"
    return call.arguments[name][-len(PROMPTS) :]


def flat(arguments: dict[str, object], prefix: str = "") -> dict[str, object]:
    """The arguments that are not None, those of nested mappings as `outer.inner` and of lists as `outer.0`."""
    found: dict[str, object] = {}
    for name, value in arguments.items():
        if isinstance(value, (list, tuple)) and any(isinstance(item, Tensor) for item in value):
            value = {str(index): item for index, item in enumerate(value)}
        if isinstance(value, dict):
            found.update(flat(value, f"{prefix}{name}."))
        elif value is not None:
            found[prefix + name] = value.clone() if isinstance(value, Tensor) else value
    return found


def is_same(ours: object, theirs: object) -> bool:
    """Equal in value, shape and precision; one timestep may stand for those of all rows, and be a whole number."""
    if not isinstance(ours, Tensor) or not isinstance(theirs, Tensor):
        return ours == theirs
    if theirs.ndim == 0:
        return torch.equal(ours.double(), theirs.double().expand(ours.shape))
    return ours.dtype == theirs.dtype and torch.equal(ours, theirs)


def is_close(ours: Tensor, theirs: Tensor) -> bool:
    """Equal in precision, and in value but for rounding: weights that lie elsewhere in memory are summed in another order."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.std().item())


class Operators(TorchDispatchMode):
    """Names of the operators that are called while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, operator: OpOverload, types: object, positional: tuple = (), named: dict | None = None
    ) -> object:
        self.names.add(operator.overloadpacket.__name__)
        return operator(*positional, **(named or {}))


def uses_flash(run: Callable[[], object]) -> bool:
    """Whether attention is computed by the flash kernel while `run` runs."""
    with Operators() as operators, torch.no_grad():
        run()
    return any("flash" in name for name in operators.names)


def has_channels_innermost(prior: PretrainedPrior) -> bool:
    """Whether any weight of its convolutions lies in memory with its channels innermost."""
    model = prior.model
    parts = [getattr(model, name, None) for name in ("unet", "transformer")]
    parts.append(getattr(model.codec, "autoencoder", None))
    weights = [value for part in parts if part is not None for value in part.parameters() if value.ndim == 4]
    return any(value.stride()[1] == 1 for value in weights if min(value.shape[1:]) > 1)


@pytest.fixture(scope="session")
def latents() -> Callable[..., Tensor]:
    """Noise of the given shape whose numbers are the same in bfloat16."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16().float()

    return draw


@pytest.fixture
def verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Check]]:
    """What `verify` finds about the folder of a replay, in a few of its steps, by the names of its checks.

    `spoil` breaks the prior that is verified; options are those of `Replay.load`.
    """
    monkeypatch.setattr(verification, "NUM_STEPS", 2)
    monkeypatch.setattr(verification, "FRACTIONS", (0.5,))

    def run(
        replay: Replay, *, spoil: Callable[[PretrainedPrior], None] = lambda prior: None, **options: object
    ) -> dict[str, Check]:
        def load() -> PretrainedPrior:
            prior = replay.load(**options)
            spoil(prior)
            return prior

        picture = tmp_path / "picture.png"
        folder = ModelFolder.open(str(replay.folder))
        with warnings.catch_warnings(action="ignore"):
            checks = verify(folder, load, dtype=torch.float32, device=CPU, picture=picture)
        assert picture.is_file()
        return {check.name: check for check in checks}

    return run


@pytest.fixture(scope="session")
def record_calls() -> Callable[..., list[Call]]:
    """Listens to a denoiser."""
    return record


@pytest.fixture(scope="session")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Replay]:
    """Saves a pipeline and runs it; its arguments are those of `run_pipeline` but the folder."""

    def run(pipeline: DiffusionPipeline, **options: object) -> Replay:
        return run_pipeline(pipeline, tmp_path_factory.mktemp("pipeline"), **options)

    return run


def run_pipeline(
    pipeline: DiffusionPipeline,
    folder: Path,
    *,
    latents: Tensor,
    indices: list[int],
    guidance_scale: float,
    options: dict[str, object],
    noise: Callable[[Tensor], dict[str, object]] = lambda latents: {"latents": latents},
    unpack: Callable[[Tensor], Tensor] = lambda latents: latents,
    output_types: tuple[str, str] = ("latent", "pt"),
) -> Replay:
    """Save a pipeline, run it from `latents` and write down what it did.

    Args:
        options: Further arguments of the pipeline.
        noise: Those that make it begin with the latents.
        unpack: From the layout that the pipeline returns latents in to (B, C, h, w).
        output_types: What makes it return the latents and the images.
    """
    pipeline.save_pretrained(folder)
    denoiser = "unet" if "unet" in pipeline.components else "transformer"
    results: dict[str, Tensor] = {}

    def run(pipeline: DiffusionPipeline, output_type: str) -> None:
        pipeline.set_progress_bar_config(disable=True)
        start = noise(latents.to(getattr(pipeline, denoiser).dtype))
        with warnings.catch_warnings(action="ignore"):
            results[output_type] = pipeline(
                prompt=PROMPTS, output_type=output_type, return_dict=False, **start, **options
            )[0]

    def half_call() -> Call:
        missing = {name: None for name, part in pipeline.components.items() if part is None}
        half = type(pipeline).from_pretrained(folder, dtype=torch.bfloat16, **missing)
        return record(getattr(half, denoiser), lambda: run(half, output_types[0]))[0]

    calls = record(getattr(pipeline, denoiser), lambda: run(pipeline, output_types[0]))
    run(pipeline, output_types[1])
    assert len(calls) == len(indices) == NUM_STEPS
    final, image = (torch.as_tensor(results[name]) for name in output_types)
    if output_types[1] == "np":
        image = image.permute(0, 3, 1, 2)
    assert image.std() > 0.01, "images say nothing"
    picture = torch.rand(1, *image.shape[-2:], 3, generator=torch.Generator().manual_seed(0))
    return Replay(
        folder,
        denoiser,
        calls[0],
        half_call,
        latents,
        indices,
        guidance_scale,
        states=[*(unpack(noisy_input(call)) for call in calls[1:]), unpack(final)],
        image=image,
        picture=picture,
        encoded=encoded(pipeline, picture),
    )


@torch.no_grad()
def encoded(pipeline: DiffusionPipeline, images: Tensor) -> Tensor:
    """Images as the pipeline's model sees them: in [-1, 1], or their most likely latents at unit scale."""
    samples = 2.0 * images.permute(0, 3, 1, 2) - 1.0
    if "vae" not in pipeline.components:
        return samples
    config = pipeline.vae.config
    latents = pipeline.vae.encode(samples).latent_dist.mode()
    return (latents - (config.shift_factor or 0.0)) * config.scaling_factor


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give tests that take a `wiring` all that can be wrong in any family and what the module lists besides.

    A wiring breaks a model in place: `wiring(monkeypatch, model)`. A module adds its own as WIRINGS, those of them that
    change the embeddings alone as EMBEDDINGS; None takes one away that means nothing there.
    """
    if "wiring" not in metafunc.fixturenames:
        return
    module = metafunc.module
    embeddings = {name: _embedding_wiring(change) for name, change in module.EMBEDDINGS.items()}
    wirings = {**COMMON_WIRINGS, **embeddings, **module.WIRINGS}
    known = {name: wiring for name, wiring in wirings.items() if wiring is not None}
    metafunc.parametrize("wiring", known.values(), ids=known.keys())


Wiring = Callable[[pytest.MonkeyPatch, TextToImageModel], None]


def _embedding_wiring(change: Callable[[TextEmbedding], TextEmbedding]) -> Wiring:
    def wire(patch: pytest.MonkeyPatch, model: TextToImageModel) -> None:
        encode = model.encode_text
        patch.setattr(model, "encode_text", lambda prompts: change(encode(prompts)))

    return wire


def _schedule_wiring(change: Callable[[NoiseSchedule], dict[str, Tensor]]) -> Wiring:
    return lambda patch, model: patch.setattr(
        model, "schedule", dataclasses.replace(model.schedule, **change(model.schedule))
    )


def _rolled_outputs(patch: pytest.MonkeyPatch, model: TextToImageModel) -> None:
    evaluate = model.evaluate
    patch.setattr(model, "evaluate", lambda *arguments: evaluate(*arguments).roll(len(PROMPTS), dims=0))


COMMON_WIRINGS: dict[str, Wiring] = {
    "sigma and alpha swapped": _schedule_wiring(
        lambda schedule: {"alphas": schedule.sigmas, "sigmas": schedule.alphas}
    ),
    "timesteps one too late": _schedule_wiring(lambda schedule: {"times": schedule.times.roll(-1)}),
    "timesteps times 1000": _schedule_wiring(lambda schedule: {"times": 1000.0 * schedule.times}),
    "conditions before samples": lambda patch, model: patch.setattr(
        TextEmbedding, "flatten", lambda text: text.map(lambda value: value.transpose(0, 1).flatten(0, 1))
    ),
    "unconditional and conditional swapped": _rolled_outputs,
    "prompts in another order": _embedding_wiring(lambda text: text[[1, 0, 2]]),
    "another meaning of the output": lambda patch, model: patch.setattr(model, "parameterization", "sample"),
    "latents drawn instead of the most likely": lambda patch, model: patch.setattr(
        DiagonalGaussianDistribution, "mode", DiagonalGaussianDistribution.sample
    ),
    "scaling factor forgotten": lambda patch, model: patch.setattr(model.codec, "_scale", 1.0),
}
