"""`make bench-refine`: what the differentiable rasteriser takes, forward and backward, best of several.

Ends with status 1 where it takes more processor time than so many times PyTorch's own look-up of the same samples in
the same run: a bound that neither the machine nor its load moves much.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import grid_sample

from engine.jit import thread_count
from tests.bench.ball import SIZE_PX, Ball, ball, ours

Value = TypeVar("Value")

MOST = 4.0
"""Times the yardstick's processor time that all of it may take with the texture; it takes 3.1."""


def stages(scene: Ball) -> dict[str, Callable[[], None]]:
    """Each operation and each way back for itself, of what the operations before it made."""
    ops, faces = scene.ops, scene.faces
    clip = scene.clip().detach().requires_grad_(True)
    raster, slopes = ops.rasterize(clip, faces, (scene.size_px, scene.size_px))
    given = raster.detach().requires_grad_(True)
    at, footprint = ops.interpolate(scene.uv, given, faces, slopes)
    looked_up = at.detach().requires_grad_(True)
    colour = ops.texture(scene.image, looked_up, footprint)
    drawn, outlines = colour.detach().requires_grad_(True), clip.detach().requires_grad_(True)
    blended = ops.antialias(drawn, raster.detach(), outlines, faces, scene.topology)

    def back(output: Tensor, gradient: Tensor, *inputs: Tensor) -> Tensor:
        return torch.autograd.grad(output, inputs, gradient, retain_graph=True)[0]

    from_colour = back(blended, scene.wanted, drawn, outlines)
    from_uv = back(colour, from_colour, looked_up, scene.image)
    from_raster = back(at, from_uv, given)
    return {
        "rasterize": lambda: void(ops.rasterize(clip, faces, (scene.size_px, scene.size_px))),
        "interpolate": lambda: void(ops.interpolate(scene.uv, given, faces, slopes)),
        "texture": lambda: void(ops.texture(scene.image, looked_up, footprint)),
        "antialias": lambda: void(ops.antialias(drawn, raster.detach(), outlines, faces, scene.topology)),
        "antialias, back": lambda: void(back(blended, scene.wanted, drawn, outlines)),
        "texture, back": lambda: void(back(colour, from_colour, looked_up, scene.image)),
        "interpolate, back": lambda: void(back(at, from_uv, given)),
        "rasterize, back": lambda: void(back(raster, from_raster, clip)),
    }


def void(_: object) -> None:
    """Let go of it."""


def yardstick(scene: Ball) -> Callable[[], None]:
    """PyTorch's own look-up in the same texture at the same samples, forward and backward: bilinear, no mip levels."""
    raster, _ = scene.ops.rasterize(scene.clip().detach(), scene.faces, (scene.size_px, scene.size_px))
    at, _ = scene.ops.interpolate(scene.uv, raster, scene.faces)
    grid = (2 * at - 1).requires_grad_(True)
    image = scene.image.detach().permute(0, 3, 1, 2).contiguous().requires_grad_(True)
    wanted = scene.wanted.permute(0, 3, 1, 2).contiguous()

    def run() -> None:
        grid_sample(image, grid, padding_mode="border", align_corners=False).backward(wanted)
        image.grad = grid.grad = None

    return run


def mitsuba() -> Callable[[], None]:
    """Mitsuba 3, LLVM variant: the ball with the texture, one sample a pixel, forward and backward.

    It traces rays, and gives gradients to the texture and to the vertices within the outline; those of silhouettes,
    which we give too, would need another integrator of it, which takes longer.
    """
    import drjit as dr  # type: ignore[import-not-found]
    import mitsuba as mi  # type: ignore[import-not-found]

    mi.set_variant("llvm_ad_rgb")
    dr.set_thread_count(thread_count())
    vertices, faces = ball()
    mesh = mi.Mesh("ball", len(vertices), len(faces), has_vertex_texcoords=True)
    given = mi.traverse(mesh)
    given["vertex_positions"] = vertices.astype(np.float32).ravel()
    given["faces"] = faces.astype(np.uint32).ravel()
    given["vertex_texcoords"] = (vertices[:, :2] / 0.66 + 0.5).astype(np.float32).ravel()
    given.update()
    image = np.random.default_rng(0).uniform(size=(1024, 1024, 3)).astype(np.float32)
    texture = {"type": "bitmap", "bitmap": mi.Bitmap(image), "raw": True}
    view = mi.ScalarTransform4f().look_at(origin=[0.5, 0.6, 0.62], target=[0, 0, 0], up=[0, 1, 0])
    film = {"type": "hdrfilm", "width": SIZE_PX, "height": SIZE_PX, "rfilter": {"type": "box"}}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "ball.ply")
        mesh.write_ply(path)
        shape = {"type": "ply", "filename": path, "emitter": {"type": "area", "radiance": texture}}
        sensor = {"type": "perspective", "fov": 40.0, "to_world": view, "film": film}
        scene = mi.load_dict(
            {
                "type": "scene",
                "integrator": {"type": "direct"},
                "sensor": sensor | {"sampler": {"type": "independent", "sample_count": 1}},
                "shape": shape,
            }
        )
    parameters = mi.traverse(scene)
    positions = next(key for key in parameters.keys() if key.endswith("vertex_positions"))  # noqa: SIM118
    texels = next(key for key in parameters.keys() if key.endswith("radiance.data"))  # noqa: SIM118
    wanted = mi.TensorXf(np.random.default_rng(1).uniform(size=(SIZE_PX, SIZE_PX, 3)).astype(np.float32))

    def run() -> None:
        for key in (positions, texels):
            dr.enable_grad(parameters[key])
            dr.set_grad(parameters[key], 0)
        parameters.update()
        picture = mi.render(scene, parameters, spp=1)
        dr.backward(dr.sum(picture * wanted, axis=None))
        dr.eval(dr.grad(parameters[positions]), dr.grad(parameters[texels]))
        dr.sync_thread()

    return run


def best(run: Callable[[], None], times: int) -> tuple[float, float]:
    """Wall and processor time in ms, each the least of `times` runs after one to warm up."""
    run()
    walls, processors = [], []
    for _ in range(times):
        wall, processor = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return 1e3 * min(walls), 1e3 * min(processors)


def beside(console: Console, peer: str, measure: Callable[[], Value]) -> Value | None:
    """What `measure` says where `peer` is installed and runs; one that doesn't spoils no figure of ours."""
    if importlib.util.find_spec(peer) is None:
        console.print(f"{peer} is not installed: not measured beside it. docs/bench.md says how to have it.")
        return None
    try:
        return measure()
    except Exception as error:
        console.print(f"{peer} is installed, but does not run here: {error}")
        return None


def beside_pytorch3d(console: Console) -> None:
    """A table of its own, of a smaller picture: what PyTorch3D takes on the CPU grows with faces times pixels."""
    from tests.bench import peer_pytorch3d

    peer_pytorch3d.show(console, peer_pytorch3d.smaller(), times=3, with_soft=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    times = parser.parse_args().times
    # torch's threads spin for a while when they have done something, on the cores that the kernels want. It has little
    # to do here.
    torch.set_num_threads(1)
    scene, console = Ball(), Console()
    each = Table("", "wall ms", "processor ms", title="One by one")
    for name, stage in stages(scene).items():
        each.add_row(name, *(f"{figure:.1f}" for figure in best(stage, times)))
    table = Table(
        "forward + backward",
        "wall ms",
        "processor ms",
        title=f"100k faces at {SIZE_PX}², {thread_count()} threads",
    )
    whole, ruler = "the same with a mip-mapped texture", "PyTorch's grid_sample, bilinear, of the same samples"
    runs = {"rasterize, interpolate, antialias": ours(scene, False), whole: ours(scene, True), ruler: yardstick(scene)}
    took = {name: best(run, times) for name, run in runs.items()}
    name = "Mitsuba 3 (LLVM), traced"
    if measured := beside(console, "mitsuba", lambda: best(mitsuba(), times)):
        took[name] = measured
        table.add_column("of Mitsuba's")
    for row, (wall, processor) in took.items():
        ratios = [f"{wall / measured[0]:.2f} / {processor / measured[1]:.2f}"] if measured else []
        table.add_row(row, f"{wall:.0f}", f"{processor:.0f}", *ratios)
    console.print(each, table)
    beside(console, "pytorch3d", lambda: beside_pytorch3d(console))
    ratio = took[whole][1] / took[ruler][1]
    console.print(f"With the texture: {ratio:.2f} times grid_sample's processor time; at most {MOST:.1f}.")
    if ratio > MOST:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
