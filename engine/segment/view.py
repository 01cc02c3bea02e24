"""One view's foreground from its colours, with the depth render's silhouette as the prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from engine.segment.solve import minimise_cut

Mask = NDArray[np.bool_]
Real = NDArray[np.float32]


def downscale(rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    image = Image.fromarray(rgb)
    return np.asarray(image.resize((size, size), Image.Resampling.BOX, reducing_gap=2.0))


def resize_mask(mask: Mask, size: int) -> Mask:
    if mask.shape[0] == size:
        return mask
    image = Image.fromarray(mask.astype(np.uint8) * 255).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image) > 127


def signed_distance(mask: Mask) -> Real:
    """Positive inside, in pixels, 0 on the border between pixels."""
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - outside), np.float32)


def histogram_index(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    c = rgb.astype(np.int32)
    r, g, b = c[..., 0], c[..., 1], c[..., 2]
    y = (r + 2 * g + b) >> 4           # 64 levels
    u = (g - r + 256) >> 3             # 64
    v = (g - b + 256) >> 3             # 64
    return (y * 64 + u) * 64 + v


def density(index: NDArray[np.int32], weight: Real | None) -> Real:
    h = np.bincount(index, weight, minlength=64 * 64 * 64).astype(np.float32).reshape(64, 64, 64)
    h = ndimage.gaussian_filter(h, (1.0, 0.8, 0.8), mode="nearest", truncate=3)
    return np.asarray((h / max(float(h.sum()), 1e-9)).ravel(), np.float32)


@dataclass
class P:
    out: float = 28
    inn: float = 28
    sigma: float = 8.0
    smooth: float = 2.0
    edge_floor: float = 0.06
    llr_max: float = 3.0
    rounds: int = 3
    iters: int = 120
    calm: float = 4.0
    reach: float = 14.0


def local_background(rgb: Real, bg: Mask, sigma: float) -> tuple[Real, Real]:
    """Mean [h, w, 3] and deviation [h, w] of the background near each pixel, from the pixels that are sure."""
    w = bg.astype(np.float32)
    total = np.zeros_like(w); mean = np.zeros_like(rgb); sq = np.zeros_like(w)
    for k, s in enumerate((sigma, sigma * 4)):
        f = 10.0 ** (-3 * k)
        ww = ndimage.gaussian_filter(w, s, truncate=2.5) * f
        total += ww
        for c in range(3):
            mean[..., c] += ndimage.gaussian_filter(rgb[..., c] * w, s, truncate=2.5) * f
            sq += ndimage.gaussian_filter(rgb[..., c] ** 2 * w, s, truncate=2.5) * f
    total = np.maximum(total, 1e-12)
    mean /= total[..., None]
    var = np.maximum(sq / total - (mean ** 2).sum(-1), 0) / 3
    return mean, np.sqrt(var)


def cut(rgb: NDArray[np.uint8], depth_mask: Mask, p: P, dbg=None):
    """rgb [n,n,3], mask [n,n] -> u"""
    n = rgb.shape[0]
    k = n / 1024
    sd = signed_distance(depth_mask)
    c = rgb.astype(np.float32)
    g = ndimage.gaussian_filter(c, (0.7, 0.7, 0))
    dx = np.zeros((n, n), np.float32); dy = np.zeros((n, n), np.float32)
    dx[:, :-1] = np.abs(np.diff(g, axis=1)).max(-1); dy[:-1] = np.abs(np.diff(g, axis=0)).max(-1)
    grad = np.hypot(dx, dy)
    bg0 = sd < -p.out * k
    fg0 = sd > p.inn * k
    band = ~(bg0 | fg0)
    noise = float(np.median(grad[bg0])) + 0.5
    edge = p.smooth * (p.edge_floor + (1 - p.edge_floor) / (1 + (grad / (3 * noise + 4)) ** 2))
    idx = histogram_index(rgb)
    up = lambda a: np.asarray(Image.fromarray(np.ascontiguousarray(a)).resize((n, n), Image.Resampling.BILINEAR))
    def local(mask, sigma):
        m, s = local_background(c[::8, ::8], mask[::8, ::8], sigma)
        return np.stack([up(m[..., q]) for q in range(3)], -1), up(s)
    B, SB = local(bg0, 8 * k)
    F, SF = local((sd > 6 * k), 2 * k)
    dB = np.sqrt(((c - B) ** 2).sum(-1) / 3) / np.maximum(SB * 1.5, 3.0)
    dF = np.sqrt(((c - F) ** 2).sum(-1) / 3) / np.maximum(SF * 1.5, 6.0)
    # soft shadow: what the background reaches without an edge
    calm = (grad < p.calm + 2 * noise) & (sd < p.reach * k)
    lab, _ = ndimage.label(ndimage.binary_opening(calm, iterations=1) | bg0)
    hit = np.zeros(lab.max() + 1, bool); hit[np.unique(lab[bg0])] = True; hit[0] = False
    flood = hit[lab]
    dB = np.where(flood, np.minimum(dB, 0.5), dB)
    # dark shadow: the background, less of it
    s = (c * B).sum(-1) / np.maximum((B * B).sum(-1), 1)
    level = s * B.mean(-1)
    resid = np.sqrt(((c - s[..., None] * B) ** 2).sum(-1))
    dark = (resid < 0.3 * level + 4) & (s < 0.65) & (sd < 0)
    active = np.flatnonzero(band.ravel()).astype(np.int32)
    ring = np.zeros((n, n), bool); ring[1:-1, 1:-1] = True
    active = active[ring.ravel()[active]]
    u = (sd > 0).astype(np.float32)
    prior = np.clip(sd / (p.sigma * k), -3, 3)
    for r in range(p.rounds):
        wf = np.where(sd > 6 * k, 1.0, 0.2) * (u > 0.5) if r == 0 else (u > 0.5).astype(np.float32)
        near = (sd > -80 * k)
        wb = np.where(u > 0.5, 0, np.where(near, 1.0, 0.05))
        if r == 0: wb = wb * (bg0 | (flood & (sd < 0)))
        i = idx.ravel()
        pf = density(i, wf.ravel()); pb = density(i, wb.ravel())
        eps = 2e-6
        llr = np.log((pf + eps) / (pb + eps))[i].reshape(n, n)
        llr = np.clip(llr, -p.llr_max, p.llr_max)
        db = np.clip((dB ** 2 - dF ** 2) / 4, -p.llr_max, p.llr_max)
        f = 0.5 * llr + 0.5 * db
        f[dark] = np.minimum(f[dark], 0)
        f += prior
        cost = (-f).astype(np.float32) * 0.5
        uu = np.ascontiguousarray(u.ravel(), np.float32)
        minimise_cut(uu, np.ascontiguousarray(cost.ravel()), np.ascontiguousarray(edge.ravel(), np.float32), active, n, p.iters)
        u = uu.reshape(n, n)
        if dbg is not None: dbg.append(dict(llr=llr, db=db, prior=prior, u=u.copy(), B=B, grad=grad, edge=edge, flood=flood, dark=dark))
    return u, sd
