"""PyTorch3D's CPU path beside our rasteriser: the same ball, camera, texture and gradients in one process.

Its way is made of its public functions: `rasterize_meshes` with one face a pixel and no blur, then
`interpolate_face_attributes` and PyTorch's bilinear `grid_sample`, and back to vertices and texture. It does less than
ours: no mip levels, and at one face a pixel neither blended silhouettes nor gradients from them; those it has with
several faces a pixel (`--soft`). And it does it otherwise: on the CPU it has no bins, each pixel looks at each face. So
what it takes grows with faces times pixels, and beside it a picture of a quarter of the width and of a sixteenth of the
faces is the default.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import NamedTuple

import torch
from pytorch3d.ops import interpolate_face_attributes  # type: ignore[import-not-found]
from pytorch3d.renderer import BlendParams, rasterize_meshes, sigmoid_alpha_blend  # type: ignore[import-not-found]
from pytorch3d.renderer.mesh.rasterizer import Fragments  # type: ignore[import-not-found]
from pytorch3d.structures import Meshes  # type: ignore[import-not-found]
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import grid_sample

from engine.jit import thread_count
from tests.bench.ball import DIVISIONS, SIZE_PX, Ball, ours

SMALLER = 4
SOFT_FACES = 8


class Took(NamedTuple):
    wall_ms: float
    processor_ms: float


class Picture(NamedTuple):
    """What came out: the face of each pixel [H, W] int64, -1 for none, and d loss/d vertices [V, 3]."""

    face: Tensor
    slope: Tensor


class Laps:
    """What steps that follow each other take."""

    def __init__(self) -> None:
        self.took: dict[str, Took] = {}
        self._since = self._now()

    def __call__(self, name: str) -> None:
        now = self._now()
        self.took[name] = Took(*(1e3 * (b - a) for a, b in zip(self._since, now, strict=True)))
        self._since = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


def in_all(laps: dict[str, Took]) -> Took:
    return Took(*(sum(figures) for figures in zip(*laps.values(), strict=True)))


def middle(runs: list[dict[str, Took]]) -> dict[str, Took]:
    """The median of each step."""
    return {
        name: Took(*(median(figures) for figures in zip(*(run[name] for run in runs), strict=True))) for name in runs[0]
    }


def smaller() -> Ball:
    return Ball(SIZE_PX // SMALLER, DIVISIONS // SMALLER)


def projected(scene: Ball) -> Meshes:
    """The ball in PyTorch3D's NDC: x to the left, y up, z the camera's."""
    clip = scene.clip()[0]
    return Meshes([torch.cat([-clip[:, :2] / clip[:, 3:], clip[:, 3:]], 1)], [scene.faces.long()])


def hard(scene: Ball) -> dict[bool, tuple[dict[str, Took], Picture]]:
    """One face a pixel, forward and backward, from one search: with the texture, and with places as colours."""
    faces, laps = scene.faces.long(), Laps()
    seen, _, weights, _ = rasterize_meshes(projected(scene), scene.size_px, 0.0, 1, perspective_correct=True)
    laps("rasterize")
    search, out = laps.took, {}
    for textured in (False, True):
        laps = Laps()
        attributes = scene.uv[0] if textured else scene.points.detach().requires_grad_(True)
        colour = interpolate_face_attributes(seen, weights, attributes[faces])[..., 0, :]
        laps("interpolate")
        if textured:
            image = scene.image.permute(0, 3, 1, 2)
            colour = grid_sample(image, 2 * colour - 1, padding_mode="border", align_corners=False).permute(0, 2, 3, 1)
            laps("texture")
        inputs = (weights, scene.image if textured else attributes)
        from_weights, direct = torch.autograd.grad(colour, inputs, scene.wanted)
        laps("texture and interpolate, back" if textured else "interpolate, back")
        (slope,) = torch.autograd.grad(weights, scene.points, from_weights, retain_graph=True)
        laps("rasterize, back")
        out[textured] = search | laps.took, Picture(seen[0, ..., 0], slope if textured else slope + direct)
    return out


def soft(scene: Ball) -> dict[str, Took]:
    """Several faces a pixel, each blurred by a pixel, and their alpha: its way to gradients from silhouettes."""
    reach = 2 / scene.size_px
    sigma = reach**2 / math.log(1 / 1e-4 - 1)  # there a face's alpha is 1e-4, as in PyTorch3D's own examples
    laps = Laps()
    fragments = Fragments(
        *rasterize_meshes(
            projected(scene),
            scene.size_px,
            reach**2,
            SOFT_FACES,
            perspective_correct=True,
            clip_barycentric_coords=True,
        )
    )
    laps("rasterize, soft")
    colours = torch.ones(*fragments.pix_to_face.shape, 3)
    alpha = sigmoid_alpha_blend(colours, fragments, BlendParams(sigma=sigma))[..., 3]
    laps("alpha")
    alpha.backward(scene.wanted[..., 0])
    laps("alpha and rasterize, back")
    scene.points.grad = None
    return laps.took


def same_of_ours(scene: Ball, textured: bool) -> Picture:
    """Ours without what PyTorch3D lacks, mip levels and antialiasing: the two should be one picture."""
    raster, _ = scene.ops.rasterize(scene.clip(), scene.faces, (scene.size_px, scene.size_px))
    colour, _ = scene.ops.interpolate(scene.uv if textured else scene.points[None], raster, scene.faces)
    if textured:
        colour = scene.ops.texture(scene.image, colour)
    (slope,) = torch.autograd.grad(colour, scene.points, scene.wanted)
    return Picture(raster[0, ..., 3].detach().long() - 1, slope)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """PyTorch3D draws on as many threads as PyTorch has; ours does better where PyTorch's don't spin beside it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ratio(a: Took, b: Took) -> str:
    return " / ".join(f"{x / y:,.2f}" if x < 10 * y else f"{x / y:,.0f}" for x, y in zip(a, b, strict=True))


def show(console: Console, scene: Ball, times: int, with_soft: bool) -> None:
    """Run both in turn, and print medians and what they are to each other."""
    mine: dict[bool, list[dict[str, Took]]] = {False: [], True: []}
    peers: dict[bool, list[dict[str, Took]]] = {False: [], True: []}
    softs, pictures = [], {}
    runs = {textured: ours(scene, textured) for textured in (False, True)}
    for run in runs.values():
        run()
    for _ in range(times):
        for textured, run in runs.items():
            for _ in range(3):
                laps = Laps()
                run()
                laps("ours")
                mine[textured].append(laps.took)
        with torch_threads(thread_count()):
            for textured, (took, picture) in hard(scene).items():
                peers[textured].append(took)
                pictures[textured] = picture
            if with_soft:
                softs.append(soft(scene))
    table = Table(
        "forward + backward",
        "wall ms",
        "processor ms",
        "to ours",
        title=f"Beside PyTorch3D: {len(scene.faces):,} faces at {scene.size_px}², {thread_count()} threads, "
        f"medians of {times}",
    )

    def row(name: str, took: Took, of: Took | None = None) -> None:
        table.add_row(name, f"{took.wall_ms:,.0f}", f"{took.processor_ms:,.0f}", ratio(took, of) if of else "")

    for textured, name in ((False, "without a texture"), (True, "with the texture")):
        of, steps = in_all(middle(mine[textured])), middle(peers[textured])
        row(f"ours, {name}", of)
        row(f"PyTorch3D's, {name}", in_all(steps), of)
        row("  all but its search", in_all({n: t for n, t in steps.items() if n != "rasterize"}), of)
        for step, took in steps.items():
            row(f"  {step}", took)
    for step, took in (middle(softs) if softs else {}).items():
        row(f"{SOFT_FACES} faces a pixel: {step}", took)
    console.print(table)
    for textured, name in ((False, "without a texture"), (True, "with the texture")):
        reference, picture = same_of_ours(scene, textured), pictures[textured]
        same = (reference.face == picture.face).double().mean()
        apart = (reference.slope - picture.slope).norm() / reference.slope.norm()
        console.print(
            f"PyTorch3D's picture {name}: the same face as ours without antialiasing at {100 * same:.3f} % of the "
            f"pixels, gradients to the vertices {100 * apart:.2g} % apart."
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peer_pytorch3d", description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument(
        "--whole", action="store_true", help=f"all {SIZE_PX}² pixels and 99,904 faces: 23 minutes of a processor each"
    )
    parser.add_argument("--soft", action="store_true", help="also a silhouette's alpha from eight faces a pixel")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    show(Console(), Ball() if arguments.whole else smaller(), arguments.times, arguments.soft)


if __name__ == "__main__":
    main()
