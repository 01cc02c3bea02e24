"""Stage 2: what belongs to the object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.bundle_layout import ViewName


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The foreground of every view.

    rgb_alpha: [H, W] uint8 coverage of the object in the RGB view (255 = object), at the RGB's size.
    rgb_mask: [H, W] bool, rgb_alpha > 127. depth_mask: [h, w] bool at the depth's size, specks dropped.
    agreement: IoU of the RGB's and the depth's foreground, at the depth's size.
    """

    rgb_alpha: dict[ViewName, NDArray[np.uint8]]
    depth_mask: dict[ViewName, NDArray[np.bool_]]
    agreement: dict[ViewName, float]

    def rgb_mask(self, view: ViewName) -> NDArray[np.bool_]:
        """[H, W] bool: where the RGB view shows the object."""
        return np.asarray(self.rgb_alpha[view] > 127)
