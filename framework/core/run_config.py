"""The root of every configuration file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from framework.core.component import slot
from framework.core.registries import EXPORTERS, PRIORS, SYSTEMS


@dataclass(kw_only=True, frozen=True)
class TrainerConfig:
    """How long and how precisely to train, and how often to look."""

    max_steps: int = 1500
    """Length of the run in training steps."""
    devices: int = 1
    """Processes that train together on this machine, each on a CUDA device of its own or all on the CPU; `--gpu 0,1`, torchrun
    and SLURM say it themselves. Each draws a batch of views of its own; several particles are spread over them."""
    accumulate: int = 1
    """Micro-steps whose gradients are added up to those of one step with as many times the batch: more views than fit into
    the memory at once."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of the networks; bf16-mixed computes matrix products in bfloat16, 16-mixed in float16 with a scaled loss.
    Guidance is never part of it: a prior has a dtype of its own."""
    validate_every: int = 500
    """Steps between validation images; 0 draws none but the last."""
    checkpoint_every: int = 250
    """Steps between checkpoints; one is always written at the end."""
    keep_checkpoints: int = 2
    """Older checkpoints than this many are removed."""
    log_every: int = 10
    """Steps between rows of metrics."""
    gradient_clip: float | None = None
    """Largest norm of the gradient of all parameters together; none by default."""
    max_skipped_steps: int = 10
    """A step whose losses or gradient are not finite is skipped; more than so many in a row stop the run."""
    max_missed_checkpoints: int = 10
    """Where the disk is full, training goes on without checkpoints; more than so many missed in a row stop the run."""

    def __post_init__(self) -> None:
        for name in ("max_steps", "devices", "accumulate", "checkpoint_every", "keep_checkpoints", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("validate_every", "max_skipped_steps", "max_missed_checkpoints"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        if self.gradient_clip is not None and not self.gradient_clip > 0.0:
            raise ValueError(f"gradient_clip must be positive, got {self.gradient_clip:g}; null clips nothing.")


@dataclass(kw_only=True, frozen=True)
class WandbConfig:
    """How a run appears at Weights & Biases. The team is that of the environment variable WANDB_ENTITY, else your own."""

    project: str
    """The project it belongs to; made there if need be."""
    name: str | None = None
    """Its name there; by default that of the run's folder, and of the stage."""
    group: str | None = None
    """Runs that are shown together; by default the stages of one run."""
    tags: list[str] = field(default_factory=list)
    """Words to find it by."""
    offline: bool = False
    """Keep everything in the run's folder, for `wandb sync` later; needs neither a network nor an account."""

    def __post_init__(self) -> None:
        if not self.project or len(self.project) > 128 or set(self.project) & set("/\\#?%:"):
            raise ValueError(
                f"project: expected at most 128 letters without / \\ # ? % and :, got {self.project!r}. "
                "A team is named by the environment variable WANDB_ENTITY."
            )


@dataclass(kw_only=True, frozen=True)
class LoggerConfig:
    """Where a run shows its numbers and pictures while it goes on. Pictures are in the run's folder in any case."""

    csv: bool = True
    """Write metrics.csv; the report draws its curves."""
    tensorboard: bool = True
    """Write numbers and pictures for TensorBoard into tensorboard/."""
    wandb: WandbConfig | None = None
    """Log to Weights & Biases, with what was exported and its scores; null does not, and imports nothing of it."""


@dataclass(kw_only=True, frozen=True)
class RunConfig:
    """One run, as a YAML file describes it."""

    name: str
    """Name of the run's folder below `output_root`."""
    description: str = ""
    """What the run shows, in a sentence."""
    prompt: str = "a snowman"
    """What to make."""
    prior: Any = slot(PRIORS, default="toybox")
    """The diffusion model of every guidance that names none: a registered name, or a folder or hub id with a slash."""
    seed: int = 0
    """Source of all randomness."""
    output_root: str = "outputs"
    """Folder below which run folders are made."""
    resume: str | None = None
    """A run folder, a checkpoint, or `last`: the newest unfinished run of this name and prompt, if possible with a
    checkpoint."""
    start_from: str | None = None
    """Where the scene comes from, instead of from nothing: a run folder, a mesh file, or an earlier one of the `stages`. What
    is of another kind there is converted."""
    freeze: list[str] = field(default_factory=list)
    """Dotted paths of parameters that stay as they are, such as scene.geometry."""
    trainer: TrainerConfig = field(default_factory=lambda: TrainerConfig())
    """Length, precision and intervals of the training."""
    logger: LoggerConfig = field(default_factory=lambda: LoggerConfig())
    """The dashboards that the run appears on."""
    system: Any = slot(SYSTEMS)
    """What is trained and by which terms."""
    export: Any = slot(EXPORTERS, default="mesh", nullable=True)
    """What is written when the training is done; null writes nothing."""
    backends: dict[str, str] = field(default_factory=dict)
    """Requested implementation by operation, such as {hash-encoding: torch}; the others are chosen automatically."""
    extensions: list[str] | None = None
    """Extensions to load, of custom/ and of installed packages; by default all of them."""

    def __post_init__(self) -> None:
        if self.name.strip(".") == "" or "/" in self.name:
            raise ValueError(f"name: expected a folder name, got {self.name!r}.")
