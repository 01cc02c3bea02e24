"""Pictures of a result: eight from all around with its edges, one that turns, and what pages show of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.jit import parallel_map
from engine.mesh import TexturedMesh
from engine.preview.studio import draw, draw_cut_out, prepare
from engine.preview.turntable import FIRST_AZIMUTH_DEG, write_turntable
from engine.progress import Checkpoint

COUNT = 8
SIZE_PX = 512
POSTER_PX = 640
_TURNTABLE_STEPS = 8  # its cost, in previews


@dataclass(frozen=True, eq=False)
class Previews:
    """names: the files written. poster: [S, S, 4] uint8, the model as the first frame of the turntable shows it, on
    nothing: straight alpha.
    """

    names: list[str]
    poster: NDArray[np.uint8]


def write_previews(textured: TexturedMesh, out: Path, checkpoint: Checkpoint = lambda fraction: None) -> Previews:
    """Write preview_0.png ... preview_7.png, 512 x 512, every 45 degrees from the front, turntable.webp and
    thumbnail.webp.
    """
    total = COUNT + _TURNTABLE_STEPS + 3
    stage = prepare(textured)
    names, pictures = [], []
    for index in range(COUNT):
        checkpoint((index + 2) / total)
        pictures.append(draw(stage, 360 / COUNT * index, SIZE_PX))
        names.append(f"preview_{index}.png")
    done = COUNT + 2
    names += write_turntable(stage, out, lambda fraction: checkpoint((done + _TURNTABLE_STEPS * fraction) / total))
    parallel_map(_write, [(out / name, picture) for name, picture in zip(names, pictures, strict=False)])
    poster = draw_cut_out(stage, FIRST_AZIMUTH_DEG, POSTER_PX)
    checkpoint(1.0)
    return Previews(names, poster)


def _write(item: tuple[Path, NDArray[np.uint8]]) -> None:
    Image.fromarray(item[1]).save(item[0], compress_level=3)
