"""The implementations of each operation side by side, at the sizes of a training step or of an export."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, pairwise

import torch
import trimesh
from torch import Tensor

from framework.bench.rows import BenchError, Measure
from framework.bench.suite import SEED, Case, Outcome, Suite
from framework.bench.timing import interleaved_medians
from framework.core.registries import GEOMETRIES
from framework.core.step import StepInfo
from framework.export.texturing import bake, unwrap
from framework.geometry.isosurface_grid import IsosurfaceGrid
from framework.ops import compositing, hash_encoding, mlp, ray_sampling
from framework.ops.antialiasing import antialias
from framework.ops.hash_encoding import HashGridLayout
from framework.ops.mesh_raycasting import RayCaster
from framework.ops.rasterization import interpolate, rasterize
from framework.ops.torch import hash_encoding as hash_encoding_torch
from framework.structures.cameras import Cameras
from framework.structures.mesh import Mesh
from framework.structures.rays import Rays, RaySamples
from framework.toybox.batches import training_batch

BACKENDS = ("warp", "torch")
ISOSURFACES = ("tetrahedral-grid", "flexicubes")
_MOST_MS, _MOST_MS_WITH_POSITIONS = 130.0, 220.0
_MOST_MS_TO_RASTERIZE, _MOST_MS_WITH_NEW_FACES = 250.0, 350.0
_MOST_MS_TO_EXTRACT = 150.0
_MOST_SECONDS_TO_TEXTURE = 20.0
_LEAST_IMAGES = 200.0
_STEP_LENGTH = 3.0**0.5 / 48
_MAX_SAMPLES = 96
_WIDTHS = (32, 32, 32, 4)
"""Features of the layers of a field's perceptron."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much work the operations get.

    Attributes:
        points: Positions that are encoded.
        log2_table_size: Of the hash grid; small enough for a CPU's caches, as in the default config.
        image_size: Side of the image whose rays are sampled.
        subdivisions: Of the icosahedron that is rasterized and rays are cast at: 20 * 4^subdivisions faces.
        cast_size: Side of the images of that.
        cells: Of the tetrahedral grid along each side, and cubes of the grid for FlexiCubes.
        toys: Images of toybox scenes that are made at once.
        unwrapped: Subdivisions of the icosphere that is unwrapped and painted.
        texture_size: Side of its texture.
        repeats: Timed calls of each implementation.
    """

    points: int = 1 << 18
    log2_table_size: int = 15
    image_size: int = 64
    subdivisions: int = 6
    cast_size: int = 512
    cells: tuple[int, int] = (25, 32)
    toys: int = 128
    unwrapped: int = 5
    texture_size: int = 1024
    repeats: int = 7


def suite(sizes: Sizes | None = None) -> Suite:
    """All operations, at full size by default."""
    s = sizes or Sizes()
    cast_faces, small_faces = 20 * 4**s.subdivisions, 20 * 4 ** (s.subdivisions // 2)
    to_table, with_positions, compiled = (
        f"hash encoding, {s.points:,} points x 16 levels x 2, {suffix}"
        for suffix in ("to the table", "with gradients to positions", "twin under torch.compile")
    )
    return Suite(
        [
            Case(to_table, lambda pictures: _hash_encoding(s, to_positions=False, at_most=_MOST_MS)),
            Case(with_positions, lambda _: _hash_encoding(s, to_positions=True, at_most=_MOST_MS_WITH_POSITIONS)),
            Case(compiled, lambda pictures: _compiled_hash_encoding(s)),
            Case(f"perceptron, {s.points:,} points x {' x '.join(map(str, _WIDTHS))}", lambda pictures: _mlp(s)),
            Case(f"ray sampling, {s.image_size} x {s.image_size} rays", lambda pictures: _ray_sampling(s)),
            Case(f"compositing, {s.image_size} x {s.image_size} rays", lambda pictures: _compositing(s)),
            Case(
                f"ray casting, {cast_faces:,} faces, {s.cast_size} x {s.cast_size} rays",
                lambda pictures: _ray_casting(s.subdivisions, s.cast_size, s.repeats, ("warp",)),
            ),
            Case(
                f"ray casting, {small_faces:,} faces, {s.cast_size // 8} x {s.cast_size // 8} rays",
                lambda pictures: _ray_casting(s.subdivisions // 2, s.cast_size // 8, s.repeats, BACKENDS),
            ),
            Case(
                f"rasterization, {cast_faces:,} faces, {s.cast_size} x {s.cast_size}, forward and backward",
                lambda _: _rasterization(s.subdivisions, s.cast_size, s.repeats, ("warp",), _MOST_MS_TO_RASTERIZE),
            ),
            Case(
                f"rasterization, {cast_faces:,} faces anew in each step, {s.cast_size} x {s.cast_size}",
                lambda _: _rasterization(s.subdivisions, s.cast_size, s.repeats, ("warp",), _MOST_MS_WITH_NEW_FACES, 2),
            ),
            Case(
                f"rasterization, {small_faces:,} faces, {s.cast_size // 8} x {s.cast_size // 8}, forward and backward",
                lambda _: _rasterization(s.subdivisions // 2, s.cast_size // 8, s.repeats, BACKENDS),
            ),
            *(
                Case(
                    f"surface of {name}, {cells}^3 cells, forward and backward",
                    partial(lambda name, cells, pictures: _isosurface(name, cells, s.repeats), name, cells),
                )
                for name, cells in zip(ISOSURFACES, s.cells, strict=True)
            ),
            Case(
                f"unwrapping and baking, {20 * 4**s.unwrapped:,} faces, {s.texture_size} x {s.texture_size}",
                lambda pictures: _texturing(s),
            ),
            Case(f"toybox, captioned images of 64 x 64, {s.toys} at a time", lambda pictures: _toybox(s)),
        ]
    )


def _compared(functions: Mapping[str, Callable[[], object]], repeats: int, *, at_most: float | None = None) -> Outcome:
    """Medians; the target is that of the first."""
    times = interleaved_medians(functions, repeats=repeats)
    first = next(iter(times))
    return Outcome(
        measures=tuple(
            Measure(name=name, value=value, unit="ms", at_most=at_most if name == first else None)
            for name, value in times.items()
        )
    )


def _hash_encoding(sizes: Sizes, *, to_positions: bool, at_most: float) -> Outcome:
    positions, table, layout = _encoding_inputs(sizes, to_positions=to_positions)
    passes = {
        name: _pass(partial(hash_encoding.hash_encoding, positions, table, layout, backend=name), positions, table)
        for name in BACKENDS
    }
    outcome = _compared(passes, sizes.repeats, at_most=at_most)
    return replace(outcome, note=f"Each level has up to 2^{sizes.log2_table_size} entries.")


def _compiled_hash_encoding(sizes: Sizes) -> Outcome:
    positions, table, layout = _encoding_inputs(sizes, to_positions=False)
    compiled = torch.compile(hash_encoding_torch.hash_encoding, dynamic=False)
    forward_and_backward = _pass(partial(compiled, positions, table, layout), table)
    started = time.monotonic()
    try:
        forward_and_backward()
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise BenchError(f"torch.compile needs a C++ compiler: {str(error).splitlines()[0]}") from error
    seconds = time.monotonic() - started
    outcome = _compared({"torch, compiled": forward_and_backward}, sizes.repeats)
    return replace(outcome, measures=(*outcome.measures, Measure(name="compilation", value=seconds, unit="s")))


def _encoding_inputs(sizes: Sizes, *, to_positions: bool) -> tuple[Tensor, Tensor, HashGridLayout]:
    layout = HashGridLayout(log2_table_size=sizes.log2_table_size)
    generator = _generator()
    table = torch.rand(layout.num_entries, layout.features_per_level, generator=generator).requires_grad_()
    return torch.rand(sizes.points, 3, generator=generator).requires_grad_(to_positions), table, layout


def _mlp(sizes: Sizes) -> Outcome:
    generator = _generator()
    inputs = torch.rand(sizes.points, _WIDTHS[0], generator=generator).requires_grad_()
    shapes = [(rows, columns) for columns, rows in pairwise(_WIDTHS)]
    weights = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    passes = {name: _pass(partial(mlp.mlp, inputs, weights, backend=name), inputs, *weights) for name in BACKENDS}
    return _compared(passes, sizes.repeats)


def _toybox(sizes: Sizes) -> Outcome:
    """Scenes, captions and renders together, as the training of the bundled prior draws them."""
    generator = _generator()
    times = interleaved_medians({"warp": lambda: training_batch(generator, sizes.toys)}, repeats=sizes.repeats)
    speed = 1000.0 * sizes.toys / times["warp"]
    return Outcome(measures=(Measure(name="speed", value=speed, unit="images/s", at_least=_LEAST_IMAGES),))


def _ray_sampling(sizes: Sizes) -> Outcome:
    rays = _camera(sizes.image_size).rays()
    return _compared({name: partial(_samples, rays, name) for name in BACKENDS}, sizes.repeats)


def _compositing(sizes: Sizes) -> Outcome:
    samples = _samples(_camera(sizes.image_size).rays(), BACKENDS[0])
    generator = _generator()
    density = torch.rand(len(samples.starts), generator=generator).requires_grad_()
    features = torch.rand(len(samples.starts), 3, generator=generator).requires_grad_()

    def colors(backend: str) -> Tensor:
        return compositing.composite(density, features, samples, backend=backend).features

    return _compared({name: _pass(partial(colors, name), density, features) for name in BACKENDS}, sizes.repeats)


def _ray_casting(subdivisions: int, size: int, repeats: int, backends: Iterable[str]) -> Outcome:
    vertices, faces = _sphere(subdivisions)
    rays = _camera(size).rays()
    casters = {name: RayCaster(vertices, faces, backend=name) for name in backends}
    return _compared({name: partial(caster.cast, rays) for name, caster in casters.items()}, repeats)


def _rasterization(
    subdivisions: int,
    size: int,
    repeats: int,
    backends: Iterable[str],
    at_most: float | None = None,
    num_meshes: int = 1,
) -> Outcome:
    """Rasterized, interpolated and antialiased; lists of faces in other orders take turns if there are several."""
    vertices, faces = _sphere(subdivisions)
    vertices.requires_grad_()
    colors = torch.rand(len(vertices), 3, generator=_generator()).requires_grad_()
    shuffled = [faces[torch.randperm(len(faces), generator=_generator())] for _ in range(num_meshes - 1)]
    meshes, camera = cycle([faces, *shuffled]), _camera(size)

    def image(backend: str) -> Tensor:
        faces = next(meshes)
        fragments = rasterize(vertices, faces, camera, backend=backend)
        pixels = interpolate(colors, faces, fragments, backend=backend)
        return antialias(pixels, fragments, vertices, faces, camera)

    passes = {name: _pass(partial(image, name), vertices, colors) for name in backends}
    return _compared(passes, repeats, at_most=at_most)


def _isosurface(name: str, cells: int, repeats: int) -> Outcome:
    """Of a sphere with noise on its distances and vertices, as a training step extracts it."""
    generator = _generator()
    config = GEOMETRIES.find(name).Config(resolution=cells)
    grid: IsosurfaceGrid = GEOMETRIES.build(config, generator=generator, backends={})
    shape = [value for part, value in grid.named_parameters() if not part.startswith(("encoding", "mlp"))]
    for value in shape:
        value.data += 0.1 / cells * torch.randn(value.shape, generator=generator)
    faces = len(grid.surface(StepInfo(0, 1)).faces)
    forward_and_backward = _pass(lambda: grid.surface(StepInfo(0, 1)).vertices, *shape)
    outcome = _compared({"torch": forward_and_backward}, repeats, at_most=_MOST_MS_TO_EXTRACT)
    return replace(outcome, note=f"{len(grid.rest_positions):,} grid vertices, {faces:,} faces.")


def _texturing(sizes: Sizes) -> Outcome:
    """Once, of a lumpy sphere: it takes seconds, most of them in xatlas."""
    vertices, faces = _sphere(sizes.unwrapped)
    lumps = (5.0 * vertices).sin().prod(dim=1, keepdim=True)
    lumpy = Mesh(vertices * (1.0 + 0.2 * lumps), faces)
    mesh = replace(lumpy, normals=lumpy.vertex_normals())
    started = time.perf_counter()
    flat = unwrap(mesh, texture_size=sizes.texture_size, padding=8)
    unwrapped = time.perf_counter()
    bake(flat, lambda positions, normals: 0.5 + 0.5 * normals, texture_size=sizes.texture_size)
    ended = time.perf_counter()
    return Outcome(
        measures=(
            Measure(name="both", value=ended - started, unit="s", at_most=_MOST_SECONDS_TO_TEXTURE),
            Measure(name="unwrapping", value=unwrapped - started, unit="s"),
            Measure(name="baking", value=ended - unwrapped, unit="s"),
        )
    )


def _pass(forward: Callable[[], Tensor], *leaves: Tensor) -> Callable[[], None]:
    """One forward and one backward pass, as a function; gradients of the leaves are not summed over passes."""

    def run() -> None:
        for leaf in leaves:
            leaf.grad = None
        forward().sum().backward()

    return run


def _sphere(subdivisions: int) -> tuple[Tensor, Tensor]:
    """Vertices and faces."""
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.8)
    return torch.from_numpy(sphere.vertices).float(), torch.from_numpy(sphere.faces).long()


def _camera(size: int) -> Cameras:
    """A view of the cube."""
    one = torch.ones(1)
    return Cameras.orbit(0.5 * one, 0.3 * one, 2.6 * one, 0.785 * one, height=size, width=size)


def _samples(rays: Rays, backend: str) -> RaySamples:
    """Samples where a ball is, in a grid of 48 cells a side."""
    line = torch.linspace(-1, 1, 48)
    x, y, z = torch.meshgrid(line, line, line, indexing="ij")
    occupancy = x * x + y * y + z * z < 0.5
    return ray_sampling.sample_occupied(
        rays, occupancy, radius=1.0, step_length=_STEP_LENGTH, max_samples_per_ray=_MAX_SAMPLES, backend=backend
    )


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)
