"""Stage 8: the result's files, a module per format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from config.job import Format
from engine.export.files import write_file
from engine.export.glb import Pictures, load_glb, write_glb
from engine.export.image import encode_png
from engine.export.obj import TEXTURES, write_mtl, write_obj
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
    maps = textured.maps
    images = [textured.texture_kd] + ([maps.texture_ks, maps.texture_normal] if maps else [])
    encoded = [b""] * len(images)

    def encode(place: int) -> None:
        encoded[place] = encode_png(images[place])

    tasks: list[Callable[[], None]] = [partial(encode, place) for place in range(len(images))]  # zlib leaves the GIL
    names = []
    if "obj" in formats:
        with_maps = maps is not None
        tasks += [partial(write_obj, textured, out / "mesh.obj")]
        tasks += [partial(write_mtl, out / "material.mtl", with_maps=with_maps)]
        names += ["mesh.obj", "material.mtl", *TEXTURES[: len(images)]]
    names.append("mesh.glb")
    if "ply" in formats:
        tasks.append(partial(write_ply, textured, out / "mesh.ply"))
        names.append("mesh.ply")
    parallel_map(lambda task: task(), tasks)
    pictures = Pictures(*encoded)
    if "obj" in formats:
        for name, png in zip(TEXTURES, encoded, strict=False):
            write_file(out / name, png)
    write_glb(textured, out / "mesh.glb", pictures)
    if "stl" in formats:
        write_stl(textured.mesh, out / "mesh.stl")
        names.append("mesh.stl")
    if "usdz" in formats:
        from engine.export.usdz import write_usdz

        write_usdz(textured, out / "mesh.usdz", pictures)
        names.append("mesh.usdz")
    return names
