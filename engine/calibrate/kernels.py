"""The compiled heart of calibration: the residuals between views, their analytic Jacobian and a small solver.

Model. A view's real-valued code t (0..1) stands for g = a + b·t, and depth = g (linear) or 1/g (disparity), along
the camera's z (planar) or along the ray. With log f (f in half image widths) that makes 13 parameters for six
views, [log f, a_0..a_5, b_0..b_5]; a structure of the depth coding is an affine map into them,
full = base + basis @ theta.

Residuals, all in pixels of the observed images. A point of view A, projected into view B, may not fall outside B's
silhouette (distance to it, Cauchy loss), may not stand in front of B's surface (that space was seen to be free;
Cauchy loss), and lies on that surface or behind it, occluded (Tukey's biweight loss, which lets go of the occluded).
The depth residual is measured across B's surface (point to plane), as steep surfaces amplify sideways errors.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit

Floats = NDArray[np.float64]

PARAMETERS = 13
STATS = 6
"""Per pair of views: points, cost, points off the silhouette, in front of the surface, on it, seen against it."""

MIN_DEPTH = 0.02


@jit
def accumulate(
    full: Floats,
    points: Floats,
    starts: NDArray[np.int64],
    fields: NDArray[np.float32],
    rotation: Floats,
    translation: Floats,
    pair_weight: Floats,
    code_shift: float,
    disparity: bool,
    ray: bool,
    scales: Floats,
    hessian: Floats,
    gradient: Floats,
    stats: Floats,
    d_q: Floats,
    jac: Floats,
    slot: NDArray[np.int64],
) -> float:
    """Sum the robust cost and its Gauss-Newton system over all pairs of views.

    full: [13]. points: [N, 3] float64 (x, y in half widths from the centre, code 0..1), view after view; view A has
    rows starts[A]..starts[A+1]. fields: [6, h, w, 3] float32: smoothed code 0..1 (0 = background), distance to the
    silhouette in pixels, and 0..1 how far from an edge of the surface (where it is over 0, the cell around has valid
    codes). rotation: [6, 6, 3, 3], translation: [6, 6, 3]: camera B from camera A. pair_weight: [6, 6], 0 leaves a
    pair out. scales: silhouette, front, behind in pixels (behind 0: off), a code's step 0..1 (contradictions count from
    what it leaves open). hessian: [13, 13], gradient: [13],
    stats: [6, 6, 6] are overwritten. d_q [2, 3], jac and slot [5]: to work in. Returns the cost, weighted but not
    divided by the number of points: a point that meets nothing costs behind²/3, one on the surface 0.
    """
    h, w = fields.shape[1], fields.shape[2]
    half = 0.5 * w
    focal = math.exp(full[0])
    for m in range(PARAMETERS):
        gradient[m] = 0.0
        for n in range(PARAMETERS):
            hessian[m, n] = 0.0
    for m in range(6):
        for n in range(6):
            for k in range(6):
                stats[m, n, k] = 0.0
    sil2, front2, behind, level = scales[0] * scales[0], scales[1] * scales[1], scales[2], scales[3]
    most = behind * behind / 3.0
    total = 0.0
    for view_a in range(6):
        a, b = full[1 + view_a], full[7 + view_a]
        for i in range(starts[view_a], starts[view_a + 1]):
            x, y, t = points[i, 0] / focal, points[i, 1] / focal, points[i, 2] + code_shift
            g = a + b * t
            if disparity:
                g = max(g, MIN_DEPTH)
                z, dz = 1.0 / g, -1.0 / (g * g)
            else:
                z, dz = max(g, MIN_DEPTH), 1.0
            dz_f = 0.0
            if ray:
                s2 = 1.0 + x * x + y * y
                s = math.sqrt(s2)
                z, dz = z / s, dz / s
                dz_f = z * (s2 - 1.0) / s2
            for view_b in range(6):
                weight = pair_weight[view_a, view_b]
                if weight <= 0.0:
                    continue
                R, shift = rotation[view_a, view_b], translation[view_a, view_b]
                for k in range(3):
                    ray_k = R[k, 0] * x + R[k, 1] * y + R[k, 2]
                    d_q[0, k] = -(R[k, 0] * x + R[k, 1] * y) * z + ray_k * dz_f
                    d_q[1, k] = ray_k * dz
                qx = (R[0, 0] * x + R[0, 1] * y + R[0, 2]) * z + shift[0]
                qy = (R[1, 0] * x + R[1, 1] * y + R[1, 2]) * z + shift[1]
                qz = max((R[2, 0] * x + R[2, 1] * y + R[2, 2]) * z + shift[2], MIN_DEPTH)
                nx, ny = qx / qz, qy / qz
                u, v = (nx * focal + 1.0) * half - 0.5, (ny * focal + 1.0) * half - 0.5
                # derivatives of u, v, qz by (log f, g of A)
                scale = half * focal
                dnx0, dnx1 = (d_q[0, 0] - nx * d_q[0, 2]) / qz, (d_q[1, 0] - nx * d_q[1, 2]) / qz
                dny0, dny1 = (d_q[0, 1] - ny * d_q[0, 2]) / qz, (d_q[1, 1] - ny * d_q[1, 2]) / qz
                du0, du1 = scale * (nx + dnx0), scale * dnx1
                dv0, dv1 = scale * (ny + dny0), scale * dny1
                uc, vc = min(max(u, 0.0), w - 1.001), min(max(v, 0.0), h - 1.001)
                x0, y0 = int(uc), int(vc)
                fx, fy = uc - x0, vc - y0
                pair = stats[view_a, view_b]
                pair[0] += 1.0
                before = total
                total += weight * most
                # what a unit of A's g is in pixels of B
                dz_px = math.sqrt(du1 * du1 + dv1 * dv1)
                # silhouette
                d00, d01 = fields[view_b, y0, x0, 1], fields[view_b, y0, x0 + 1, 1]
                d10, d11 = fields[view_b, y0 + 1, x0, 1], fields[view_b, y0 + 1, x0 + 1, 1]
                out_u, out_v = u - uc, v - vc
                d = (d00 * (1 - fx) + d01 * fx) * (1 - fy) + (d10 * (1 - fx) + d11 * fx) * fy - 1.0
                grad_u = (d01 - d00) * (1 - fy) + (d11 - d10) * fy
                grad_v = (d10 - d00) * (1 - fx) + (d11 - d01) * fx
                if out_u != 0.0 or out_v != 0.0:
                    away = math.sqrt(out_u * out_u + out_v * out_v)
                    d += away
                    if out_u != 0.0:
                        grad_u = out_u / away
                    if out_v != 0.0:
                        grad_v = out_v / away
                if d > 0.0:
                    r2 = d * d / sil2
                    total += weight * sil2 * math.log1p(r2)
                    wd = weight / (1.0 + r2)
                    if d > 1.0 + 0.5 * level * abs(b) * dz_px:
                        pair[2] += 1.0
                    j0, j1 = grad_u * du0 + grad_v * dv0, grad_u * du1 + grad_v * dv1
                    ja, jb = 1 + view_a, 7 + view_a
                    hessian[0, 0] += wd * j0 * j0
                    hessian[0, ja] += wd * j0 * j1
                    hessian[0, jb] += wd * j0 * j1 * t
                    hessian[ja, ja] += wd * j1 * j1
                    hessian[ja, jb] += wd * j1 * j1 * t
                    hessian[jb, jb] += wd * j1 * j1 * t * t
                    gradient[0] += wd * d * j0
                    gradient[ja] += wd * d * j1
                    gradient[jb] += wd * d * j1 * t
                # depth, fading in from the edges of B's surfaces: the cost has to be continuous
                w00, w01 = fields[view_b, y0, x0, 2], fields[view_b, y0, x0 + 1, 2]
                w10, w11 = fields[view_b, y0 + 1, x0, 2], fields[view_b, y0 + 1, x0 + 1, 2]
                faded = weight * ((w00 * (1 - fx) + w01 * fx) * (1 - fy) + (w10 * (1 - fx) + w11 * fx) * fy)
                if faded > 0.0 and out_u == 0.0 and out_v == 0.0:
                    i00, i01 = fields[view_b, y0, x0, 0], fields[view_b, y0, x0 + 1, 0]
                    i10, i11 = fields[view_b, y0 + 1, x0, 0], fields[view_b, y0 + 1, x0 + 1, 0]
                    tb = (i00 * (1 - fx) + i01 * fx) * (1 - fy) + (i10 * (1 - fx) + i11 * fx) * fy + code_shift
                    tb_u = (i01 - i00) * (1 - fy) + (i11 - i10) * fy
                    tb_v = (i10 - i00) * (1 - fx) + (i11 - i01) * fx
                    gb = full[1 + view_b] + full[7 + view_b] * tb
                    if disparity:
                        gb = max(gb, MIN_DEPTH)
                        zb, dzb = 1.0 / gb, -1.0 / (gb * gb)
                    else:
                        zb, dzb = max(gb, MIN_DEPTH), 1.0
                    sb2 = 1.0
                    if ray:
                        sb2 = 1.0 + nx * nx + ny * ny
                        sb = math.sqrt(sb2)
                        zb, dzb = zb / sb, dzb / sb
                    slope_u = dzb * full[7 + view_b] * tb_u * scale / zb
                    slope_v = dzb * full[7 + view_b] * tb_v * scale / zb
                    across = scale / math.sqrt(1.0 + slope_u * slope_u + slope_v * slope_v)
                    e = across * (qz / zb - 1.0)
                    pair[5] += 1.0
                    if e < -4.0 - 0.5 * level * (across * abs(dzb * full[7 + view_b]) / zb + abs(b) * dz_px):
                        pair[3] += 1.0
                    if abs(e) < 3.0:
                        pair[4] += 1.0
                    we = 0.0
                    if e < 0.0:
                        r2 = e * e / front2
                        total += faded * (front2 * math.log1p(r2) - most)
                        we = faded / (1.0 + r2)
                    elif behind > 0.0:
                        q = 1.0 - (e / behind) * (e / behind)
                        if q > 0.0:
                            we = faded * q * q
                            total -= faded * most * q * q * q
                    if we > 0.0:
                        inv, ratio = across / zb, across * qz / (zb * zb)
                        code_b = dzb * full[7 + view_b]
                        dzb0 = code_b * (tb_u * du0 + tb_v * dv0)
                        dzb1 = code_b * (tb_u * du1 + tb_v * dv1)
                        if ray:
                            dzb0 -= zb * (nx * dnx0 + ny * dny0) / sb2
                            dzb1 -= zb * (nx * dnx1 + ny * dny1) / sb2
                        jac[0] = inv * d_q[0, 2] - ratio * dzb0 + e
                        jac[1] = inv * d_q[1, 2] - ratio * dzb1
                        jac[2] = jac[1] * t
                        jac[3] = -ratio * dzb
                        jac[4] = jac[3] * tb
                        slot[1], slot[2], slot[3], slot[4] = 1 + view_a, 7 + view_a, 1 + view_b, 7 + view_b
                        for m in range(5):
                            gradient[slot[m]] += we * e * jac[m]
                            for n in range(m, 5):
                                p, q2 = slot[m], slot[n]
                                if p > q2:
                                    p, q2 = q2, p
                                hessian[p, q2] += we * jac[m] * jac[n]
                pair[1] += total - before
    for m in range(PARAMETERS):
        for n in range(m):
            hessian[m, n] = hessian[n, m]
    return total


@jit
def _cholesky_solve(A: Floats, rhs: Floats) -> bool:
    """Solve A x = rhs for a small symmetric positive definite A, in place of both. False if A is not."""
    n = A.shape[0]
    for i in range(n):
        for j in range(i + 1):
            value = A[i, j]
            for k in range(j):
                value -= A[i, k] * A[j, k]
            if i == j:
                if not value > 0.0:
                    return False
                A[i, i] = math.sqrt(value)
            else:
                A[i, j] = value / A[j, j]
    for i in range(n):
        for k in range(i):
            rhs[i] -= A[i, k] * rhs[k]
        rhs[i] /= A[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            rhs[i] -= A[k, i] * rhs[k]
        rhs[i] /= A[i, i]
    return True


def fit(
    base: Floats,
    basis: Floats,
    theta: Floats,
    prior: Floats,
    points: Floats,
    starts: NDArray[np.int64],
    fields: NDArray[np.float32],
    rotation: Floats,
    translation: Floats,
    pair_weight: Floats,
    code_shift: float,
    disparity: bool,
    ray: bool,
    schedule: Floats,
    iterations: int,
    stats: Floats,
) -> float:
    """Levenberg-Marquardt on re-weighted least squares, through the steps of an annealing schedule.

    base: [13], basis: [13, P], theta: [P], moved to the optimum in place. prior: [13] weak pull of the full
    parameters to where they started (a view of constant depth leaves its scale open). schedule: [S, 4] the scales
    of `accumulate`. The rest is as in `accumulate`. Returns the cost per (point, view) pair.
    """
    count = len(theta)
    return _fit(
        base, basis, theta, prior, points, starts, fields, rotation, translation, pair_weight, code_shift, disparity,
        ray, schedule, iterations, stats, np.zeros((2, PARAMETERS, PARAMETERS)), np.zeros((5, PARAMETERS)),
        np.zeros((2, count)), np.zeros((count, count)), np.zeros((PARAMETERS, count)), np.zeros((2, 3)), np.zeros(5),
        np.zeros(5, np.int64),
    )  # fmt: skip


@jit
def _fit(
    base: Floats,
    basis: Floats,
    theta: Floats,
    prior: Floats,
    points: Floats,
    starts: NDArray[np.int64],
    fields: NDArray[np.float32],
    rotation: Floats,
    translation: Floats,
    pair_weight: Floats,
    code_shift: float,
    disparity: bool,
    ray: bool,
    schedule: Floats,
    iterations: int,
    stats: Floats,
    hessians: Floats,
    vectors: Floats,
    steps: Floats,
    system: Floats,
    projected: Floats,
    d_q: Floats,
    jac: Floats,
    slot: NDArray[np.int64],
) -> float:
    """`fit`. To work in: hessians [2, 13, 13], vectors [5, 13], steps [2, P], system [P, P], projected [13, P]."""
    count = theta.shape[0]
    hessian, trial_hessian = hessians[0], hessians[1]
    gradient, trial_gradient, full, origin, trial_full = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    trial, step = steps[0], steps[1]
    for m in range(PARAMETERS):
        full[m] = base[m]
        for n in range(count):
            full[m] += basis[m, n] * theta[n]
        origin[m] = full[m]
    cost = 0.0
    for stage in range(schedule.shape[0]):
        scales = schedule[stage]
        cost = accumulate(
            full, points, starts, fields, rotation, translation, pair_weight, code_shift, disparity, ray, scales,
            hessian, gradient, stats, d_q, jac, slot,
        )  # fmt: skip
        for m in range(PARAMETERS):
            cost += prior[m] * (full[m] - origin[m]) ** 2
        damping = 1e-4
        for _ in range(iterations):
            for m in range(PARAMETERS):
                hessian[m, m] += prior[m]
                gradient[m] += prior[m] * (full[m] - origin[m])
            for m in range(PARAMETERS):
                for n in range(count):
                    value = 0.0
                    for k in range(PARAMETERS):
                        value += hessian[m, k] * basis[k, n]
                    projected[m, n] = value
            accepted = False
            gain = 0.0
            for _attempt in range(7):
                for m in range(count):
                    for n in range(count):
                        value = 0.0
                        for k in range(PARAMETERS):
                            value += basis[k, m] * projected[k, n]
                        system[m, n] = value
                    value = 0.0
                    for k in range(PARAMETERS):
                        value += basis[k, m] * gradient[k]
                    step[m] = -value
                for m in range(count):
                    system[m, m] += damping * system[m, m] + 1e-9
                if not _cholesky_solve(system, step):
                    damping = max(damping * 10.0, 1e-3)
                    continue
                for n in range(count):
                    trial[n] = theta[n] + step[n]
                for m in range(PARAMETERS):
                    trial_full[m] = base[m]
                    for n in range(count):
                        trial_full[m] += basis[m, n] * trial[n]
                # angles of 3 to 140 degrees
                trial_full[0] = min(max(trial_full[0], -1.01), 3.64)
                new = accumulate(
                    trial_full, points, starts, fields, rotation, translation, pair_weight, code_shift, disparity,
                    ray, scales, trial_hessian, trial_gradient, stats, d_q, jac, slot,
                )  # fmt: skip
                for m in range(PARAMETERS):
                    new += prior[m] * (trial_full[m] - origin[m]) ** 2
                if new < cost:
                    gain = (cost - new) / cost
                    cost = new
                    for n in range(count):
                        theta[n] = trial[n]
                    for m in range(PARAMETERS):
                        full[m] = trial_full[m]
                        gradient[m] = trial_gradient[m]
                        for n in range(PARAMETERS):
                            hessian[m, n] = trial_hessian[m, n]
                    damping = max(damping / 8.0, 1e-7)
                    accepted = True
                    break
                damping = max(damping * 6.0, 1e-4)
            if not accepted or gain < 3e-5:
                break
    last = schedule[schedule.shape[0] - 1]
    cost = accumulate(
        full, points, starts, fields, rotation, translation, pair_weight, code_shift, disparity, ray, last,
        hessian, gradient, stats, d_q, jac, slot,
    )  # fmt: skip
    pairs = 0.0
    for view_a in range(6):
        for view_b in range(6):
            pairs += pair_weight[view_a, view_b] * stats[view_a, view_b, 0]
    return cost / max(pairs, 1.0)
