"""VSD as a run: its adapter is trained, saved and brought back."""

from __future__ import annotations

from typing import Any

import torch

from framework.core.checkpoint import load_checkpoint

TINY = (
    "prior=toybox",
    "export=null",
    "trainer.max_steps=4",
    "trainer.checkpoint_every=2",
    "trainer.log_every=1",
    "system.n_particles=2",
    "system.guidance.replay_size=4",
    "system.guidance.updates_per_step=2",
    "system.guidance.adapter.layers=[to_q]",
    "system.scene.geometry.encoding={num_levels: 3, log2_table_size: 8}",
    "system.scene.occupancy={resolution: 8, every: 4}",
    "system.renderer.samples_per_ray=8",
    "system.streams.random={height: 16, width: 16}",
    "system.validation={size: 16, views: 2}",
)


def test_a_resumed_run_with_adapter_and_particles_equals_an_uninterrupted_one(launch_in: Any) -> None:
    states = []
    for name in ("straight", "broken"):
        launch = launch_in(name)
        assert launch("configs/vsd.yaml", *TINY) == 0
        (run,) = launch.runs()
        if name == "broken":
            run.checkpoint(4).unlink()
            assert launch("configs/vsd.yaml", *TINY, f"resume={run.root}") == 0
        states.append(load_checkpoint(run.checkpoint(4))["state"]["system"])
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    trained = [key for key in states[0] if ".lora_B" in key.replace("/", ".")]
    assert trained and all(bool(states[0][key].any()) for key in trained)
    assert not any("base_layer" in key for key in states[0])
    assert "loss/guidance.main.adapter" in run.metrics.read_text().splitlines()[0]
