"""Rules of score distillation for loops of one's own, without a config, a renderer or Lightning.

from framework import SDS, load_prior

prior = load_prior("toybox")
rule = SDS(prior, "a red cube", guidance_scale=3)
for _ in range(1000):
    images = ...                          # (B, H, W, 3) in [0, 1], with gradients
    rule.loss(images, cameras).backward()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framework.core.config import parse
from framework.core.registries import GUIDANCES, PRIORS
from framework.core.step import StepInfo
from framework.core.yaml_tree import Tree
from framework.diffusion.prior import Prior
from framework.diffusion.prior import load_prior as load_configured_prior
from framework.guidance.base import Guidance
from framework.structures.cameras import Cameras
from framework.structures.losses import Frame
from framework.structures.render_output import RenderOutput
from framework.structures.views import Views


def load_prior(prior: str, *, device: torch.device | str = "cpu", **settings: Any) -> Prior:
    """A prior by its registered name, its folder or its id on the Hugging Face hub.

    Args:
        prior: Such as `toybox`, `oracle`, `sdxl`, `runs/my-model` or `stable-diffusion-v1-5/stable-diffusion-v1-5`.
        device: Where it is to live.
        settings: As in a config; `launch.py --describe prior/toybox` lists them.

    Raises:
        ConfigError: If a setting is unknown or of the wrong kind.
        UserError: If there is no such prior, or it cannot be read.
    """
    name, path_type = prior, PRIORS.as_path(prior)
    if path_type is not None:
        name, key = path_type
        settings = {**settings, key: prior}
    return load_configured_prior(_configured(PRIORS.find(name), settings), torch.device(device))


class Rule:
    """One registered guidance with one prompt.

    It counts its own steps, which its schedules and random draws depend on: two rules with the same seed give the same
    losses. Steps beyond `max_steps` are as the last one.

    Attributes:
        name: The registered name of the guidance.
        guidance: The guidance itself, which exists after the first loss.
        metrics: What the last step is to be watched by, `gradient_norm` first: the loss itself has no meaning.
        previews: The images that the prior took the last step's renders for, in steps that show one.
    """

    name: ClassVar[str]

    def __init__(
        self,
        prior: Prior,
        prompt: str,
        *,
        max_steps: int = 1000,
        seed: int = 0,
        adapter_learning_rate: float = 1e-3,
        **settings: Any,
    ) -> None:
        """Check the settings.

        Args:
            prior: What is asked.
            prompt: What the images should show.
            max_steps: Length of the optimisation, for schedules.
            seed: Of all random draws.
            adapter_learning_rate: Of what the rule itself trains, as VSD does.
            settings: As in a config; `launch.py --describe guidance/NAME` lists them. Without `prompts` the prompt is
                used as it stands where no cameras are given, and with words for the side where some are.

        Raises:
            ConfigError: If a setting is unknown or of the wrong kind.
        """
        self.prior = prior
        self.prompt = prompt
        self.step = StepInfo(0, max_steps, seed)
        self.guidance: Guidance | None = None
        self.metrics: Mapping[str, Tensor | float] = {}
        self.previews: Mapping[str, Tensor] = {}
        self._settings = settings
        self._learning_rate = adapter_learning_rate
        self._optimizer: torch.optim.Optimizer | None = None
        _configured(GUIDANCES.find(self.name), settings)

    def loss(self, images: Float[Tensor, "B H W C"], cameras: Cameras | Views | None = None) -> Float[Tensor, ""]:
        """The loss of one step, whose gradient on the images is that of the rule.

        What the rule trains beside the images, an adapter for instance, is trained here and now.

        Args:
            images: Colours in [0, 1], sRGB; latents, channels last, of a rule with `buffer="latent"`.
            cameras: From where they show the object; needed by priors and prompts that ask for it.
        """
        guidance = self.guidance or self._build(has_cameras=cameras is not None)
        views = cameras if isinstance(cameras, Views) else self._views(images, cameras)
        flat = torch.ones_like(images[..., :1]).detach()
        is_latent = guidance.config.buffer == "latent"
        rgb, latent = (flat.expand(-1, -1, -1, 3), images) if is_latent else (images, None)
        render = RenderOutput(rgb=rgb, opacity=flat, depth=flat, renderer=type(self).__name__, latent=latent)
        output = guidance(Frame(nn.Module(), views, render, self.step))
        self.metrics, self.previews = output.metrics, output.previews
        for update in output.updates:
            for repeat in range(update.repeats):
                self._train(guidance, update.loss(repeat))
        self.step = StepInfo(self.step.step + 1, self.step.max_steps, self.step.seed)
        return torch.stack(list(output.losses.values())).sum()

    def _build(self, *, has_cameras: bool) -> Guidance:
        prompts = "view-dependent" if has_cameras else "plain"
        config = _configured(GUIDANCES.find(self.name), {"prompts": prompts, **self._settings})
        seed = self.step.seed
        guidance: Guidance = GUIDANCES.build(config, name="main", prior=self.prior, prompt=self.prompt, seed=seed)
        self.guidance = guidance.to(self.prior.device)
        return self.guidance

    def _train(self, guidance: Guidance, loss: Float[Tensor, ""]) -> None:
        if self._optimizer is None:
            self._optimizer = torch.optim.Adam(guidance.parameters(), lr=self._learning_rate)
        parameters = list(guidance.parameters())
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
        ):
            parameter.grad = gradient
        self._optimizer.step()

    def _views(self, images: Float[Tensor, "B H W C"], cameras: Cameras | None) -> Views:
        if cameras is not None:
            return Views.of_cameras(cameras)
        count, device = len(images), images.device
        zero, distance = torch.zeros(count, device=device), torch.full((count,), 2.7, device=device)
        return Views.orbit(
            zero, zero, distance, torch.full_like(zero, 0.8), height=images.shape[1], width=images.shape[2]
        )


class SDS(Rule):
    """Score distillation sampling (DreamFusion, arXiv:2209.14988)."""

    name = "score-distillation"


class VSD(Rule):
    """Variational score distillation with an adapter (ProlificDreamer, arXiv:2305.16213)."""

    name = "variational"


class CSD(Rule):
    """Classifier score distillation (arXiv:2310.19415)."""

    name = "classifier-score"


class NFSD(Rule):
    """Noise-free score distillation (arXiv:2310.17590)."""

    name = "noise-free"


class ISM(Rule):
    """Interval score matching (LucidDreamer, arXiv:2311.11284)."""

    name = "interval-score"


class SDI(Rule):
    """Score distillation via inversion (arXiv:2405.15891)."""

    name = "inversion-score"


class ASD(Rule):
    """Asynchronous score distillation (ScaleDreamer, arXiv:2407.02040)."""

    name = "asynchronous"


class Bridge(Rule):
    """Score distillation as a bridge between distributions (SDS-Bridge, arXiv:2406.09417)."""

    name = "bridge"


class HiFA(Rule):
    """SDS with a term on the decoded image (HiFA, arXiv:2305.18766)."""

    name = "image-space"


class RFDS(Rule):
    """Rectified-flow distillation (arXiv:2406.03293)."""

    name = "rectified-flow"


class DDS(Rule):
    """Delta denoising score, an edit of a `source_image` (arXiv:2304.07090)."""

    name = "delta-denoising"


class PDS(Rule):
    """Posterior distillation sampling, an edit of a `source_image` (arXiv:2311.13831)."""

    name = "posterior"


def _configured(component: Any, settings: Mapping[str, Any]) -> Any:
    return parse(component.Config, Tree(dict(settings)))
