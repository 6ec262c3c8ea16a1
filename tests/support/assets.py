"""Mesh files of toybox scenes, as generators write them: exact or spoiled, with texture coordinates and a texture."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from framework.core.step import named_generator
from framework.export.gltf import write_glb
from framework.export.marching_cubes import marching_cubes
from framework.export.texturing import bake, unwrap
from framework.structures.mesh import Mesh
from framework.toybox.captions import parse_scene
from framework.toybox.evaluation.scene_surface import SceneSurface
from framework.toybox.scenes import build


def toy_surface(prompt: str) -> SceneSurface:
    """The scene that a prompt names, what it leaves open in the middle of its range."""
    spec = parse_scene(prompt)
    scene = build(spec, [0.5] * spec.num_nuisances)
    return SceneSurface(scene, count=1, generator=named_generator(0, "points"))


def write_asset(
    path: Path, scene: SceneSurface, *, colors: Tensor | None = None, noise: float = 0.0, resolution: int = 40
) -> Mesh:
    """Write a scene as GLB, and return the mesh.

    Args:
        path: The file.
        scene: What it shows.
        colors: Of its parts (P, 3), instead of the right ones.
        noise: Standard deviation by which vertices are moved along their normals, world units.
        resolution: Grid vertices along each side of the cube in which its surface is looked for.
    """
    line = torch.linspace(-1.0, 1.0, resolution)
    grid = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)
    vertices, faces = marching_cubes(-scene.distance(grid.reshape(-1, 3)).view(grid.shape[:3]))
    plain = Mesh(vertices * (2.0 / (resolution - 1)) - 1.0, faces)
    offset = noise * torch.randn(len(vertices), 1, generator=named_generator(0, "noise"))
    noisy = Mesh(plain.vertices + offset * plain.vertex_normals(), faces)
    palette = scene.albedo if colors is None else colors
    mesh = unwrap(Mesh(noisy.vertices, faces, normals=noisy.vertex_normals()), texture_size=256, padding=2)
    baked = bake(mesh, lambda positions, normals: palette[scene.part(positions)], texture_size=256)
    write_glb(baked, path)
    return baked
