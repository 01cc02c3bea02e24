"""Do the colours agree where views overlap? Evidence for layouts that depth can't tell apart."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from config.bundle_layout import VIEW_NAMES
from engine.bundle import Bundle
from engine.calibrate.problem import Fit

Floats = NDArray[np.float64]

SIZE_PX: Final = 256
BLUR_PX: Final = 1.5


def _features(rgb: NDArray[np.uint8]) -> Floats:
    """[256, 256, 5] chromaticity and colour differences, blurred: what shading changes least."""
    small = np.asarray(Image.fromarray(rgb).resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX), np.float64) / 255
    small = ndimage.gaussian_filter(small, (BLUR_PX, BLUR_PX, 0))
    total = small.sum(2, keepdims=True) + 0.1
    chroma = small[..., :2] / total
    light = np.log(total[..., 0])
    local = light - ndimage.gaussian_filter(light, 10)
    return np.concatenate([chroma, local[..., None]], 2)


def colour_agreement(bundle: Bundle, fits: list[Fit]) -> Floats:
    """[len(fits)] mean correlation (-1..1) of the views' colours over the surface that two views share."""
    features = [_features(bundle.rgb[name]) for name in VIEW_NAMES]
    return np.array([_agreement(bundle, features, fit) for fit in fits])


def _agreement(bundle: Bundle, features: list[Floats], fit: Fit) -> float:
    depth, step = [], max(1, bundle.depth_size_px // SIZE_PX)
    poses, focal = fit.layout.poses(), float(np.exp(fit.full[0]))
    codings = fit.family.codings(fit.full, bundle.depth_code_max)
    n = bundle.depth_size_px // step
    grid = (np.arange(n) * step + step // 2 + 0.5) / (bundle.depth_size_px / 2) - 1
    x, y = np.meshgrid(grid / focal, grid / focal)
    slant = np.sqrt(1 + x * x + y * y) if fit.family.measure == "ray" else np.ones_like(x)
    for name in VIEW_NAMES:
        codes = bundle.depth[name][step // 2 :: step, step // 2 :: step][:n, :n]
        z = codings[name].decode(codes.astype(np.float64) + fit.family.code_shift_levels) / slant
        depth.append(np.where(codes > 0, z, 0))
    values, weights = [], []
    for a in range(6):
        ys, xs = np.nonzero(depth[a])
        z = depth[a][ys, xs]
        points = np.stack([x[ys, xs] * z, y[ys, xs] * z, z], 1) @ poses[a, :3, :3].T + poses[a, :3, 3]
        for b in range(6):
            if a == b:
                continue
            q = (points - poses[b, :3, 3]) @ poses[b, :3, :3]
            uv = (q[:, :2] / np.maximum(q[:, 2:], 0.02) * focal + 1) * n / 2
            u, v = uv[:, 0].astype(int).clip(0, n - 1), uv[:, 1].astype(int).clip(0, n - 1)
            seen = np.abs(depth[b][v, u] - q[:, 2]) < 0.012
            if int(seen.sum()) < 60:
                continue
            to = SIZE_PX / n
            own = features[a][(ys[seen] * to).astype(int), (xs[seen] * to).astype(int)]
            other = features[b][(v[seen] * to).astype(int), (u[seen] * to).astype(int)]
            own, other = own - own.mean(0), other - other.mean(0)
            spread = np.sqrt((own**2).mean(0) * (other**2).mean(0))
            shared = (own * other).mean(0)
            values.append(float(shared.sum() / (spread.sum() + 0.003)))
            weights.append(float(np.sqrt(seen.sum())))
    return float(np.average(values, weights=weights)) if values else 0.0
