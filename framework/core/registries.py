"""All registries and their built-in members. Importing this imports none of them."""

from __future__ import annotations

from typing import Any

from framework.core.registry import Registry

SYSTEMS: Registry[Any] = Registry(
    "system",
    base="framework.systems.base:System",
    builtins={
        "distillation": "framework.systems.distillation:Distillation",
        "playground": "framework.systems.playground:Playground",
        "diffusion-training": "framework.systems.diffusion_training:DiffusionTraining",
        "judge-training": "framework.systems.judge_training:JudgeTraining",
    },
)
ENCODINGS: Registry[Any] = Registry(
    "encoding",
    base="framework.networks.base:Encoding",
    builtins={
        "hash-grid": "framework.networks.hash_grid:HashGrid",
        "frequency": "framework.networks.frequency:Frequency",
    },
)
DENSITY_BIASES: Registry[Any] = Registry(
    "density-bias",
    base="framework.geometry.density_bias:DensityBias",
    builtins={
        "blob": "framework.geometry.density_bias:Blob",
        "constant": "framework.geometry.density_bias:Constant",
    },
)
SHAPE_INITIALIZATIONS: Registry[Any] = Registry(
    "shape-initialization",
    base="framework.geometry.shape_initialization:ShapeInitialization",
    builtins={
        "sphere": "framework.geometry.shape_initialization:Sphere",
        "ellipsoid": "framework.geometry.shape_initialization:Ellipsoid",
        "mesh": "framework.geometry.shape_initialization:MeshShape",
    },
)
GEOMETRIES: Registry[Any] = Registry(
    "geometry",
    base="framework.geometry.base:Geometry",
    builtins={
        "density-field": "framework.geometry.density_field:DensityField",
        "voxel-grid": "framework.geometry.voxel_grid:VoxelGrid",
        "tetrahedral-grid": "framework.geometry.tetrahedral_grid:TetrahedralGrid",
        "flexicubes": "framework.geometry.flexicubes:FlexiCubes",
        "triangle-mesh": "framework.geometry.triangle_mesh:TriangleMesh",
        "signed-distance-field": "framework.geometry.signed_distance_field:SignedDistanceField",
    },
)
MATERIALS: Registry[Any] = Registry(
    "material",
    base="framework.materials.base:Material",
    builtins={
        "radiance": "framework.materials.radiance:Radiance",
        "latent-radiance": "framework.materials.latent_radiance:LatentRadiance",
        "lambertian": "framework.materials.lambertian:Lambertian",
        "physically-based": "framework.materials.physically_based:PhysicallyBased",
        "spherical-harmonics": "framework.materials.spherical_harmonics:SphericalHarmonics",
    },
)
BACKGROUNDS: Registry[Any] = Registry(
    "background",
    base="framework.backgrounds.base:Background",
    builtins={
        "solid-color": "framework.backgrounds.solid_color:SolidColor",
        "environment-map": "framework.backgrounds.environment_map:EnvironmentMap",
    },
)
RENDERERS: Registry[Any] = Registry(
    "renderer",
    base="framework.renderers.base:Renderer",
    builtins={
        "volume": "framework.renderers.volume:Volume",
        "sdf-volume": "framework.renderers.sdf_volume:SdfVolume",
        "patch": "framework.renderers.patch:Patch",
        "strided": "framework.renderers.strided:Strided",
        "rasterizer": "framework.renderers.rasterizer:Rasterizer",
    },
)
SAMPLERS: Registry[Any] = Registry(
    "sampler",
    base="framework.renderers.samplers:RaySampler",
    builtins={
        "occupancy": "framework.renderers.samplers:Occupancy",
        "importance": "framework.renderers.samplers:Importance",
        "proposal": "framework.renderers.proposal:Proposal",
    },
)
PRIORS: Registry[Any] = Registry(
    "prior",
    base="framework.diffusion.prior:Prior",
    builtins={
        "toybox": "framework.diffusion.toybox:ToyboxPrior",
        "pretrained": "framework.diffusion.pretrained:PretrainedPrior",
        "oracle": "framework.diffusion.oracle:OraclePrior",
        "analytic": "framework.diffusion.analytic:AnalyticPrior",
    },
    path_type=("pretrained", "model"),
    path_names="framework.diffusion.families.names:NAMES",
)
CONDITIONERS: Registry[Any] = Registry(
    "conditioner",
    base="framework.prompts.conditioner:Conditioner",
    builtins={
        "view-dependent": "framework.prompts.view_dependent:ViewDependent",
        "view-interpolated": "framework.prompts.view_interpolated:ViewInterpolated",
        "camera": "framework.prompts.camera:CameraConditioned",
        "plain": "framework.prompts.plain:Plain",
    },
)
GUIDANCES: Registry[Any] = Registry(
    "guidance",
    base="framework.guidance.base:Guidance",
    builtins={
        "score-distillation": "framework.guidance.score_distillation:ScoreDistillation",
        "classifier-score": "framework.guidance.classifier_score:ClassifierScore",
        "noise-free": "framework.guidance.noise_free:NoiseFree",
        "interval-score": "framework.guidance.interval_score:IntervalScore",
        "inversion-score": "framework.guidance.inversion_score:InversionScore",
        "asynchronous": "framework.guidance.asynchronous:Asynchronous",
        "bridge": "framework.guidance.bridge:Bridge",
        "variational": "framework.guidance.variational:Variational",
        "image-space": "framework.guidance.image_space:ImageSpace",
        "rectified-flow": "framework.guidance.rectified_flow:RectifiedFlow",
        "delta-denoising": "framework.guidance.delta_denoising:DeltaDenoising",
        "posterior": "framework.guidance.posterior:Posterior",
    },
)
SOURCES: Registry[Any] = Registry(
    "source",
    base="framework.guidance.source:Source",
    builtins={
        "image-file": "framework.guidance.source:ImageFile",
        "toybox-scene": "framework.guidance.source:ToyboxScene",
    },
)
PERTURBATIONS: Registry[Any] = Registry(
    "perturbation",
    base="framework.guidance.perturbation:Perturbation",
    builtins={
        "random-noise": "framework.guidance.perturbation:RandomNoise",
        "ddim-inversion": "framework.guidance.perturbation:DdimInversion",
        "negated-inversion": "framework.guidance.perturbation:NegatedInversion",
        "consistent-noise": "framework.guidance.consistent_noise:ConsistentNoise",
    },
)
TIMESTEPS: Registry[Any] = Registry(
    "timesteps",
    base="framework.guidance.timesteps:Timesteps",
    builtins={
        "uniform": "framework.guidance.timesteps:Uniform",
        "annealed": "framework.guidance.timesteps:Annealed",
        "square-root": "framework.guidance.timesteps:SquareRoot",
        "prioritized": "framework.guidance.timesteps:Prioritized",
    },
)
WEIGHTINGS: Registry[Any] = Registry(
    "weighting",
    base="framework.guidance.weighting:Weighting",
    builtins={
        "dreamfusion": "framework.guidance.weighting:DreamFusion",
        "uniform": "framework.guidance.weighting:Uniform",
        "fantasia3d": "framework.guidance.weighting:Fantasia3D",
        "noise-to-signal": "framework.guidance.weighting:NoiseToSignal",
    },
)
COMBINATIONS: Registry[Any] = Registry(
    "combination",
    base="framework.guidance.combination:Combination",
    builtins={
        "classifier-free": "framework.guidance.combination:ClassifierFree",
        "perpendicular-negative": "framework.guidance.combination:PerpendicularNegative",
        "dual-condition": "framework.guidance.combination:DualCondition",
    },
)
LOSSES: Registry[Any] = Registry(
    "loss",
    base="framework.losses.base:Loss",
    builtins={
        "sparsity": "framework.losses.opacity:Sparsity",
        "binarization": "framework.losses.opacity:Binarization",
        "orientation": "framework.losses.normals:Orientation",
        "eikonal": "framework.losses.signed_distance:Eikonal",
        "normal-smoothness-2d": "framework.losses.image:NormalSmoothness2d",
        "normal-smoothness-3d": "framework.losses.normals:NormalSmoothness3d",
        "convexity": "framework.losses.normals:Convexity",
        "normal-consistency": "framework.losses.mesh:NormalConsistency",
        "laplacian": "framework.losses.mesh:Laplacian",
        "sign-changes": "framework.losses.isosurface:SignChanges",
        "dual-deviation": "framework.losses.isosurface:DualDeviation",
        "z-variance": "framework.losses.samples:ZVariance",
        "emptiness": "framework.losses.samples:Emptiness",
        "grid-variation": "framework.losses.grid:GridVariation",
        "depth-contrast": "framework.losses.depth:DepthContrast",
        "total-variation": "framework.losses.image:TotalVariation",
        "shape-guide": "framework.losses.shape_guide:ShapeGuide",
        "perceptual": "framework.losses.perceptual:Perceptual",
        "true-views": "framework.systems.true_views:TrueViews",
    },
)
STREAMS: Registry[Any] = Registry(
    "stream",
    base="framework.data.base:ViewStream",
    builtins={
        "random-views": "framework.data.random_views:RandomViews",
        "orbit-views": "framework.data.orbit_views:OrbitViews",
    },
)
OPTIMIZERS: Registry[Any] = Registry(
    "optimizer",
    base="framework.systems.optimization:Optimizer",
    builtins={
        "adam": "framework.systems.optimization:Adam",
        "adamw": "framework.systems.optimization:AdamW",
    },
)
EXPORTERS: Registry[Any] = Registry(
    "export",
    base="framework.export.base:Exporter",
    builtins={"mesh": "framework.export.mesh:MeshExporter"},
)

ALL = {
    registry.kind: registry
    for registry in (
        SYSTEMS,
        GEOMETRIES,
        ENCODINGS,
        DENSITY_BIASES,
        SHAPE_INITIALIZATIONS,
        MATERIALS,
        BACKGROUNDS,
        RENDERERS,
        SAMPLERS,
        PRIORS,
        CONDITIONERS,
        GUIDANCES,
        SOURCES,
        PERTURBATIONS,
        TIMESTEPS,
        WEIGHTINGS,
        COMBINATIONS,
        LOSSES,
        STREAMS,
        OPTIMIZERS,
        EXPORTERS,
    )
}
