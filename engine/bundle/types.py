"""Stage 1: a bundle folder, read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import ViewName
from config.job import JobOptions


@dataclass(frozen=True, eq=False)
class Bundle:
    """Twelve images and what the job says of them.

    rgb: [H, W, 3] uint8 sRGB for each view, all of one size. alpha: [H, W] uint8 where the view has one that is not
    all opaque, else None. depth: [h, w] uint16 raw codes as delivered, 0 = background. depth_code_max: 255 or 65535.
    depth_hints: what in the depth renders may mislead, in sentences.
    sha256: digest of each file, by its path within the bundle. notes: what was converted on reading, in sentences.
    """

    path: Path
    rgb: dict[ViewName, NDArray[np.uint8]]
    alpha: dict[ViewName, NDArray[np.uint8] | None]
    depth: dict[ViewName, NDArray[np.uint16]]
    depth_code_max: int
    options: JobOptions
    sha256: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    depth_hints: tuple[str, ...] = ()

    @property
    def rgb_size_px(self) -> int:
        """Width and height of the RGB views."""
        return int(self.rgb["front"].shape[0])

    @property
    def depth_size_px(self) -> int:
        """Width and height of the depth renders."""
        return int(self.depth["front"].shape[0])
