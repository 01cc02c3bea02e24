"""Stage 8: the result's files, a module per format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from config.job import Format
from engine.export.files import write_file
from engine.export.glb import load_glb, write_glb
from engine.export.image import encode_png
from engine.export.obj import write_mtl, write_obj
from engine.export.ply import write_ply
from engine.export.stl import write_stl
from engine.jit import parallel_map
from engine.mesh import TexturedMesh

__all__ = ["export_result", "load_glb", "require_formats"]


def require_formats(formats: Sequence[Format]) -> None:
    """Raise ModelUnavailable for usdz without its extra; a job asks before it computes."""
    if "usdz" in formats:
        from engine.export.usdz import require_usd

        require_usd()


def export_result(textured: TexturedMesh, out: Path, formats: Sequence[Format] = ("obj", "glb", "ply")) -> list[str]:
    """Write `textured` to the folder `out` in each of `formats`; mesh.glb always, for it is what is scored.

    Returns the names written, in a fixed order. The bytes depend on `textured` and this program's version alone.
    Raises DiskFull or ShareUnavailable naming the path, and ModelUnavailable for usdz without its extra.
    """
    require_formats(formats)  # before anything is written
    encoded: list[bytes] = []
    tasks: list[Callable[[], None]] = [lambda: encoded.append(encode_png(textured.texture_kd))]  # zlib leaves the GIL
    names = []
    if "obj" in formats:
        tasks += [lambda: write_obj(textured, out / "mesh.obj"), lambda: write_mtl(out / "material.mtl")]
        names += ["mesh.obj", "material.mtl", "texture_kd.png"]
    names.append("mesh.glb")
    if "ply" in formats:
        tasks.append(lambda: write_ply(textured, out / "mesh.ply"))
        names.append("mesh.ply")
    parallel_map(lambda task: task(), tasks)
    png = encoded[0]
    if "obj" in formats:
        write_file(out / "texture_kd.png", png)
    write_glb(textured, out / "mesh.glb", png)
    if "stl" in formats:
        write_stl(textured.mesh, out / "mesh.stl")
        names.append("mesh.stl")
    if "usdz" in formats:
        from engine.export.usdz import write_usdz

        write_usdz(textured, out / "mesh.usdz", png)
        names.append("mesh.usdz")
    return names
