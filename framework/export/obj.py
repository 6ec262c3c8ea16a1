"""Writing meshes as Wavefront OBJ with material file and texture, in the axes of the GLB file (y up, front at +z)."""

from __future__ import annotations

from pathlib import Path

from framework.core.files import replacing, write_text
from framework.export.gltf import to_gltf_axes
from framework.export.png import encode_png
from framework.structures.mesh import Mesh


def write_obj(mesh: Mesh, path: Path) -> list[Path]:
    """Write `mesh` to `path` (.obj) and, beside it under the same stem, its material (.mtl) and texture (.png).

    Args:
        mesh: With normals, texture coordinates and texture.

    Returns:
        The three files.
    """
    assert mesh.normals is not None and mesh.uvs is not None and mesh.texture is not None
    material, texture = path.with_suffix(".mtl"), path.with_suffix(".png")
    with replacing(texture) as temporary:
        temporary.write_bytes(encode_png(mesh.texture))
    # No ambient and no specular part: base colour times light, as in the GLB file.
    write_text(material, f"newmtl {path.stem}\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {texture.name}\n")
    write_text(path, _geometry(mesh, material.name, path.stem))
    return [path, material, texture]


def _geometry(mesh: Mesh, material_file: str, name: str) -> str:
    assert mesh.normals is not None and mesh.uvs is not None
    lines = [f"mtllib {material_file}", f"o {name}"]
    for key, values in (("v", to_gltf_axes(mesh.vertices)), ("vt", mesh.uvs), ("vn", to_gltf_axes(mesh.normals))):
        lines += [f"{key} " + " ".join(f"{number:.6f}" for number in row) for row in values.tolist()]
    lines += [f"usemtl {name}"]
    corners = (mesh.faces + 1).cpu().numpy()  # OBJ counts from one; the three indices of a corner are the same
    lines += ["f " + " ".join(f"{i}/{i}/{i}" for i in face) for face in corners]
    return "\n".join(lines) + "\n"
