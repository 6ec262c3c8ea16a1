"""What a run can do about memory that does not suffice: the settings that would help, as this run's config names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from framework.core.config import dump
from framework.core.errors import UserError
from framework.core.run_config import RunConfig
from framework.core.run_directory import RunDirectory
from framework.diffusion.families.names import traits_of_name

SWITCHES: dict[str, tuple[Any, str]] = {
    "dtype": ("float32", "bfloat16"),
    "layerwise_storage": ("none", "float8_e4m3fn"),
    "offload": ("none", "group"),
    "vae_slicing": (False, "true"),
    "vae_tiling": (False, "true"),
    "keep_text_encoder": (True, "false"),
}
"""Options of a prior that save memory: the value that does not, and the one that does."""
OF_AUTOENCODERS = ("vae_slicing", "vae_tiling")
SIZES = ("batch_size", "height", "width", "images", "size", "samples_per_ray")
"""What takes memory in proportion, in a stream of views, a renderer or a system of images."""


class OutOfMemory(UserError):
    """The device has less memory than a step takes."""


def out_of_memory(error: RuntimeError, run: RunConfig, directory: RunDirectory, *, steps_done: int) -> OutOfMemory:
    """What to tell the user of an error of torch: where the run stopped, what it leaves, and what would help."""
    kept = directory.checkpoints()
    last = f"The last checkpoint is {kept[-1]}." if kept else "No checkpoint had been written yet."
    again = f"Go on with resume={directory.root} and" if kept else "Start again with"
    advice = f"{again} any of {', '.join(savings(dump(run)))}." if savings(dump(run)) else "Use a device with more."
    return OutOfMemory(f"step {steps_done}: out of memory ({_cause(error)}). {last} {advice}")


def no_memory_to_export(error: RuntimeError, directory: RunDirectory) -> OutOfMemory:
    """What to tell the user of an export that does not fit even in the smallest pieces."""
    return OutOfMemory(
        f"The export ran out of memory ({_cause(error)}). The training is saved; export it with less, or where there is more: "
        f"--export --run {directory.root} export.resolution=64 export.texture_size=512"
    )


def _cause(error: RuntimeError) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0].partition(". ")[0].rstrip(".")


def savings(config: Mapping[str, Any]) -> list[str]:
    """Settings of a dumped config that would lower its use of memory, those that cost least first.

    Each is `path=value`, or `a smaller path (now value)`.
    """
    switches = [f"{path}={value}" for path, value in _switches(config, "")]
    if config["trainer"]["precision"] == "32-true":
        switches.append("trainer.precision=bf16-mixed")
    return switches + [f"a smaller {path} (now {value})" for path, value in _sizes(config["system"])]


def _switches(tree: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    """What every prior of the config could save, wherever it stands."""
    for key, value in tree.items():
        if not isinstance(value, Mapping):
            continue
        if key == "prior" or key.endswith("_prior"):
            traits = traits_of_name(str(value.get("model")))
            works_on_pixels = traits is not None and traits.space == "pixel"
            for name, (wasteful, saving) in SWITCHES.items():
                if name in value and value[name] == wasteful and not (works_on_pixels and name in OF_AUTOENCODERS):
                    yield f"{above}{key}.{name}", saving
        else:
            yield from _switches(value, f"{above}{key}.")


def _sizes(system: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    places = {"system": system, "system.renderer": system.get("renderer") or {}}
    places |= {f"system.streams.{name}": stream for name, stream in (system.get("streams") or {}).items()}
    for place, settings in places.items():
        for name in SIZES:
            if name in settings and settings[name] != 1:
                yield f"{place}.{name}", settings[name]
