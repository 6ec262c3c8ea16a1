"""Where a process trains: its place among several, its device and its arithmetic, as Lightning wants to be told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.plugins import MixedPrecision
from pytorch_lightning.strategies import DDPStrategy

from framework.core import ranks
from framework.core.errors import UserError

if TYPE_CHECKING:
    from framework.systems.lightning import Shell


@dataclass(frozen=True)
class Place:
    """Where a process stands among those of its run.

    Attributes:
        rank: Its number among all.
        count: Number of all.
        local_rank: Its number among those on this machine.
        local_count: Number of those on this machine.
        environment: Who has started them, in Lightning's words.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int
    environment: ClusterEnvironment


def place() -> Place | None:
    """The place that the environment gives this process; None where it is alone.

    Raises:
        UserError: If what SLURM says does not fit together.
    """
    try:
        environment = _environment()
    except RuntimeError as error:
        raise UserError(f"SLURM: {error}") from error
    if environment is None or environment.world_size() == 1:
        return None
    return Place(
        environment.global_rank(),
        environment.world_size(),
        environment.local_rank(),
        _local_count(environment),
        environment,
    )


def placement(shell: Shell, device: torch.device) -> dict[str, Any]:
    """What to tell Lightning's trainer of devices and precision."""
    found: dict[str, Any] = {"accelerator": "gpu" if device.type == "cuda" else "cpu"}
    if shell.loss_scale is None:
        found["precision"] = shell.run.trainer.precision
    else:
        # Lightning would compute in bfloat16 on a CPU, and scale losses itself, each rank for itself.
        found["plugins"] = MixedPrecision("16-mixed", device.type)
        found["plugins"].scaler = None
    here = place() if ranks.count() > 1 else None
    if here is None:
        return found | {"devices": [device.index] if device.type == "cuda" else 1}
    # Views are a function of the step: there is nothing to distribute over the samplers of a data loader.
    return found | {
        "strategy": Together(here, device),
        "devices": 1,
        "num_nodes": here.count // here.local_count,
        "use_distributed_sampler": False,
    }


class Together(DDPStrategy):
    """Processes as of DDP, without its wrapper: the shell itself averages gradients.

    The wrapper expects that one backward pass after each forward pass reaches the same parameters on all ranks. Here a step
    may have several passes, for the scene and for an adapter, and each rank may have scenes of its own.
    """

    def __init__(self, here: Place, device: torch.device) -> None:
        super().__init__(parallel_devices=[device] * here.local_count, cluster_environment=here.environment)

    def configure_ddp(self) -> None:
        """Leave the model as it is."""

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Wait for all, and say so in our words if one is gone."""
        ranks.wait()


def _environment() -> ClusterEnvironment | None:
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if SLURMEnvironment.detect():
        slurm = SLURMEnvironment()
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = slurm.main_address, str(slurm.main_port)
        return slurm
    if {"LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys():
        environment = LightningEnvironment()
        environment.set_world_size(int(os.environ["WORLD_SIZE"]))
        environment.set_global_rank(
            environment.node_rank() * _local_count(environment) + environment.local_rank(),
        )
        return environment
    return None


def _local_count(environment: ClusterEnvironment) -> int:
    """Number of processes on this machine; by default all of them."""
    name = "SLURM_NTASKS_PER_NODE" if isinstance(environment, SLURMEnvironment) else "LOCAL_WORLD_SIZE"
    return int(os.environ.get(name, environment.world_size()))
