"""Stage 2: what belongs to the object."""

from __future__ import annotations

import numpy as np

from config.bundle_layout import VIEW_NAMES
from config.errors import ValidationFailed
from engine.bundle import Bundle
from engine.jit import parallel_map
from engine.segment.silhouette import drop_specks
from engine.segment.types import Segmentation
from engine.segment.view import P, cut, downscale, resize_mask

__all__ = ["Segmentation", "segment"]


def segment(bundle: Bundle) -> Segmentation:
    """Find the foreground of every view, in the RGB and in the depth render."""
    depth_mask = {view: drop_specks(bundle.depth[view] > 0) for view in VIEW_NAMES}

    def one(view):
        alpha = bundle.alpha[view]
        if alpha is not None:
            return alpha
        size = bundle.rgb_size_px
        work = min(1024, size)
        from PIL import Image
        u, _ = cut(downscale(bundle.rgb[view], work), resize_mask(depth_mask[view], work), P())
        up = np.asarray(Image.fromarray(u).resize((size, size), Image.Resampling.BILINEAR))
        return np.ascontiguousarray(np.clip((up - 0.5) * 2 + 0.5, 0, 1) * 255 + 0.5).astype(np.uint8)

    rgb_alpha = dict(zip(VIEW_NAMES, parallel_map(one, VIEW_NAMES), strict=True))
    agreement = {}
    for view in VIEW_NAMES:
        m = resize_mask(rgb_alpha[view] > 127, bundle.depth_size_px)
        d = depth_mask[view]
        agreement[view] = float((m & d).sum() / max(1, (m | d).sum()))
    if not any(agreement.values()):
        raise ValidationFailed("The views and the depth renders show nothing in common.")
    return Segmentation(rgb_alpha, depth_mask, agreement)
