"""All views' similarities at once: what is minimised, and how.

In the unit of one pixel's squared error (colours 0..1), with W_i view i's similarity:
- colours: every surface point is given the mean B of the views that see it, weighted by w_i = cos(angle)/z², which is
  what least squares gives; the views' pixels then differ from it by sum w_i |I_i(W_i(p)) - B|²;
- outlines: pixels that only one of the two silhouettes covers differ by the object's contrast with the background.
  Their number is the integral of the outlines' distance. They count for OUTLINE_SHARE, because a measure over the
  pixels that both cover does not see them, and because no similarity removes most of them.
Gauss-Newton steps view by view, the others fixed, from blurred pictures to sharp ones; the outline's distance, not its
square, counts (iteratively reweighted), so that parts which no similarity explains do not drag the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.jit import parallel_map
from engine.register.outlines import Outline
from engine.register.photo import Picture
from engine.register.similarity import Float, along, along_inverse, bounds, inverse_transform, transform

Float32 = NDArray[np.float32]

OUTLINE_SHARE = 0.18
"""Between 0.5 and 0.18 the real bundle's full-frame error is the same; inside the object less is better (21.4 dB at
0.25, 21.6 at 0.18). Chosen on that one bundle: rendered views need no registration at all."""
_ROUNDS = ((8.0, 3, 2), (4.0, 2, 2), (2.0, 2, 2))
"""Blur in pixels of 1024, sweeps over the views, steps in each."""
_PRIOR = 0.002
"""Of the outlines' cost, for a parameter at its bound: holds what nothing decides, the rotation of a ball say."""
_FINE = np.array([5e-5, 5e-5, 0.03, 0.03])


@dataclass(eq=False)
class View:
    """One view's share of the problem.

    uv_px: [N, 2] where the ideal image shows the surface points; weight: [N] float32, 0 = not seen. area: pixels that a
    point stands for, per unit of weight share. contrast_ideal, contrast_delivered: per outline point. movable: False
    keeps it as it is. x: [4], the similarity so far.
    """

    size_px: int
    ideal: Outline
    delivered: Outline
    picture: Picture
    uv_px: Float
    weight: Float32
    area: float
    movable: bool
    contrast_ideal: Float32 = field(init=False)
    contrast_delivered: Float32 = field(init=False)
    x: Float = field(default_factory=lambda: np.zeros(4))
    image: Float32 = field(init=False)

    def __post_init__(self) -> None:
        """Look up the contrasts."""
        self.contrast_ideal = self.picture.contrast(self.ideal.points) * np.float32(self.ideal.spacing / 2)
        self.contrast_delivered = self.picture.contrast(self.delivered.points) * np.float32(self.delivered.spacing / 2)

    def blur(self, sigma: float) -> None:
        """Look colours up in pictures blurred by sigma pixels of 1024."""
        self.image = self.picture.blurred(sigma * self.size_px / 1024)

    def colours(self, x: Float, which: NDArray[np.int64] | slice = slice(None)) -> Float32:
        """[N, 10] of the points: colour, its derivatives along u and v, coverage."""
        return self.picture.look_up(self.image, transform(x, self.uv_px[which], self.size_px / 2))

    def outline_cost(self, x: Float) -> tuple[float, Float, Float]:
        """The outlines' share, its gradient [4] and approximate Hessian [4, 4]."""
        centre = self.size_px / 2
        moved, back = transform(x, self.ideal.points, centre), inverse_transform(x, self.delivered.points, centre)
        there, here = self.delivered.at(moved), self.ideal.at(back)
        cost, gradient, hessian = 0.0, np.zeros(4), np.zeros((4, 4))
        sides = (
            (there[:, 0], along(x, self.ideal.points, centre, there[:, 1:])[0], self.contrast_ideal),
            (here[:, 0], along_inverse(x, back, centre, here[:, 1:]), self.contrast_delivered),
        )
        for distance, J, contrast in sides:
            away = np.abs(distance)
            cost += OUTLINE_SHARE * float((contrast * away).sum())
            w = OUTLINE_SHARE * contrast / np.maximum(away, 1.0)
            gradient += J.T @ (w * distance)
            hessian += (J * w[:, None]).T @ J
        return cost, gradient, hessian

    def colour_cost(self, x: Float, seen: NDArray[np.int64], weight: Float32, mean: Float32) -> _Cost:
        """The same of the points `seen`, whose other views have the colour `mean` [M, 3]; weight: [M]."""
        found = self.colours(x, seen)
        w = weight * (found[:, 9] > 0.5) / 3
        r = found[:, :3] - mean
        slopes = [found[:, [3 + c, 6 + c]] for c in range(3)]
        J = np.stack(along(x, self.uv_px[seen], self.size_px / 2, *slopes), 1).astype(np.float32)
        weighted = J * w[:, None, None]
        flat = weighted.reshape(-1, 4)
        return (
            float((w[:, None] * r**2).sum()),
            np.asarray(flat.T @ r.reshape(-1), np.float64),
            np.asarray(flat.T @ J.reshape(-1, 4), np.float64),
        )


_Cost = tuple[float, Float, Float]


def _others(views: list[View], found: list[Float32], i: int) -> tuple[NDArray[np.int64], Float32, Float32]:
    """The points that view i shares with others, what moving it costs at each, and the others' mean colour."""
    colour = np.zeros((len(found[i]), 3), np.float32)
    weight = np.zeros(len(found[i]), np.float32)
    for k, view in enumerate(views):
        if k != i:
            w = view.weight * (found[k][:, 9] > 0.5)
            colour += w[:, None] * found[k][:, :3]
            weight += w
    seen = np.flatnonzero((views[i].weight > 0) & (weight > 0))
    other, own = weight[seen], views[i].weight[seen]
    # sum w |I - B|² over all views changes with I_i as w_i (1 - w_i / sum w) |I_i - B without i|².
    cost = np.float32(views[i].area) * own * other / (own + other) ** 2
    return seen, np.asarray(cost, np.float32), colour[seen] / other[:, None]


def _cost(view: View, x: Float, shared: tuple[NDArray[np.int64], Float32, Float32], prior: Float) -> _Cost:
    parts = [view.outline_cost(x), view.colour_cost(x, *shared)]
    cost = sum(p[0] for p in parts) + float((prior * x**2).sum() / 2)
    return cost, parts[0][1] + parts[1][1] + prior * x, parts[0][2] + parts[1][2] + np.diag(prior)


def _improve(
    view: View, shared: tuple[NDArray[np.int64], Float32, Float32], prior: Float, steps: int, damping: float = 1e-3
) -> None:
    """Levenberg-Marquardt on one view within its bounds."""
    limit = bounds(view.size_px)
    cost, gradient, hessian = _cost(view, view.x, shared, prior)
    for _ in range(steps):
        for _ in range(4):
            step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
            x = np.clip(view.x - step, -limit, limit)
            tried = _cost(view, x, shared, prior)
            if tried[0] < cost:
                break
            damping *= 10
        else:
            return
        small = np.all(np.abs(x - view.x) < _FINE)
        view.x, (cost, gradient, hessian) = x, tried
        damping = max(damping / 4, 1e-5)
        if small:
            return


def register_jointly(views: list[View]) -> None:
    """Set every movable view's x. Deterministic: the views take their turns in the order given."""
    priors = [2 * _PRIOR * v.outline_cost(np.zeros(4))[0] / bounds(v.size_px) ** 2 for v in views]
    for sigma, sweeps, steps in _ROUNDS:
        found = _look(views, sigma)
        for _ in range(sweeps):
            for i, view in enumerate(views):
                if view.movable:
                    _improve(view, _others(views, found, i), priors[i], steps)
                    found[i] = view.colours(view.x)


def gains(views: list[View]) -> list[float]:
    """Of each view, the share of its cost that its x takes away, the others being where they are."""
    found = _look(views, _ROUNDS[-1][0])
    out = []
    for i, view in enumerate(views):
        shared = _others(views, found, i)
        before, after = (view.outline_cost(x)[0] + view.colour_cost(x, *shared)[0] for x in (np.zeros(4), view.x))
        out.append(1 - after / max(before, 1e-12))
    return out


def _look(views: list[View], sigma: float) -> list[Float32]:
    def look(view: View) -> Float32:
        view.blur(sigma)
        return view.colours(view.x)

    return parallel_map(look, views)
