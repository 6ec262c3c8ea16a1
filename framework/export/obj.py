"""Writing meshes as Wavefront OBJ with material file and textures, in the axes of the GLB file (y up, front at +z).

Roughness, metallic and normals go into the widespread physically based extension of the material file (`map_Pr`,
`map_Pm`, `norm`), which Blender and others read and all others ignore.
"""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from framework.core.files import replacing, write_text
from framework.export.gltf import to_gltf_axes
from framework.export.png import encode_png
from framework.structures.mesh import Mesh


def write_obj(mesh: Mesh, path: Path) -> list[Path]:
    """Write `mesh` to `path` (.obj) and, beside it, its material (.mtl) and textures (.png), names beginning alike.

    Args:
        mesh: With normals, texture coordinates and texture.

    Returns:
        All files: the mesh, the material, the texture of the base colour, and further textures if the mesh has them.
    """
    assert mesh.normals is not None and mesh.uvs is not None and mesh.texture is not None
    material, texture = path.with_suffix(".mtl"), path.with_suffix(".png")
    # No ambient and no specular part: base colour times light, as in the GLB file.
    lines = [f"newmtl {path.stem}", "Ka 0 0 0", "Kd 1 1 1", "Ks 0 0 0", "illum 1", f"map_Kd {texture.name}"]
    written = [_write_png(mesh.texture, texture)]
    for key, image in _further_textures(mesh).items():
        name, use = key
        written.append(_write_png(image, path.with_name(f"{path.stem}-{use}.png")))
        lines.append(f"{name} {written[-1].name}")
    write_text(material, "\n".join(lines) + "\n")
    write_text(path, _geometry(mesh, material.name, path.stem))
    return [path, material, *written]


def _further_textures(mesh: Mesh) -> dict[tuple[str, str], Float[Tensor, "H W 3"]]:
    """Images by their key in the material file and the end of their file's name."""
    if mesh.surface is None:
        return {}
    _, roughness, metallic = (channel[..., None].expand_as(mesh.surface.orm) for channel in mesh.surface.orm.unbind(-1))
    images = {("map_Pr", "roughness"): roughness, ("map_Pm", "metallic"): metallic}
    return images if mesh.surface.normal is None else {**images, ("norm", "normal"): mesh.surface.normal}


def _write_png(image: Float[Tensor, "H W 3"], path: Path) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(encode_png(image))
    return path


def _geometry(mesh: Mesh, material_file: str, name: str) -> str:
    assert mesh.normals is not None and mesh.uvs is not None
    lines = [f"mtllib {material_file}", f"o {name}"]
    for key, values in (("v", to_gltf_axes(mesh.vertices)), ("vt", mesh.uvs), ("vn", to_gltf_axes(mesh.normals))):
        lines += [f"{key} " + " ".join(f"{number:.6f}" for number in row) for row in values.tolist()]
    lines += [f"usemtl {name}"]
    corners = (mesh.faces + 1).cpu().numpy()  # OBJ counts from one; the three indices of a corner are the same
    lines += ["f " + " ".join(f"{i}/{i}/{i}" for i in face) for face in corners]
    return "\n".join(lines) + "\n"
