"""Simplification by edge collapse that cannot leave the 2-manifolds.

Garland & Heckbert, "Surface simplification using quadric error metrics" (1997), with a heap. Every collapse is checked
first: the link condition (Dey et al. 1999: the ends have exactly the two wing vertices as common neighbours, and
neither wing has only three), no turned face, no sliver. A closed manifold therefore stays one at every step, and
nothing has to be repaired afterwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.jit import jit
from engine.mesh import Mesh
from engine.progress import Checkpoint
from engine.surface.components import compact

MIN_COS = 0.25
"""A face may turn by at most the angle of this cosine in one collapse."""
MIN_SHAPE = 0.03
"""Least twice-area over squared longest edge of a face that a collapse makes (0.87 is equilateral)."""

REGULARITY = 1e-4
"""Cost of an edge's squared length against the error it makes: long edges are kept for later."""


@jit
def _cost(Q: Any, P: Any, a: Any, b: Any, regularity: Any, out: Any) -> Any:  # pragma: no cover
    """Cost of collapsing the edge (a, b); the best position goes to out [3].

    Q [V, 10] quadrics: A's xx xy xz yy yz zz, then b's three, then c. P [V, 3]. The quadric of the edge is made regular
    with a weak pull to the middle, which decides in flat places and keeps triangles even.
    """
    xx, xy, xz = Q[a, 0] + Q[b, 0], Q[a, 1] + Q[b, 1], Q[a, 2] + Q[b, 2]
    yy, yz, zz = Q[a, 3] + Q[b, 3], Q[a, 4] + Q[b, 4], Q[a, 5] + Q[b, 5]
    mx, my, mz = (P[a, 0] + P[b, 0]) * 0.5, (P[a, 1] + P[b, 1]) * 0.5, (P[a, 2] + P[b, 2]) * 0.5
    # gradient at the middle
    gx = xx * mx + xy * my + xz * mz + Q[a, 6] + Q[b, 6]
    gy = xy * mx + yy * my + yz * mz + Q[a, 7] + Q[b, 7]
    gz = xz * mx + yz * my + zz * mz + Q[a, 8] + Q[b, 8]
    weak = 1e-3 * (xx + yy + zz) + 1e-30
    axx, ayy, azz = xx + weak, yy + weak, zz + weak
    c0, c1, c2 = ayy * azz - yz * yz, xz * yz - xy * azz, xy * yz - xz * ayy
    det = axx * c0 + xy * c1 + xz * c2
    dx = -(c0 * gx + c1 * gy + c2 * gz) / det
    dy = -(c1 * gx + (axx * azz - xz * xz) * gy + (xy * xz - axx * yz) * gz) / det
    dz = -(c2 * gx + (xy * xz - axx * yz) * gy + (axx * ayy - xy * xy) * gz) / det
    lx, ly, lz = P[a, 0] - P[b, 0], P[a, 1] - P[b, 1], P[a, 2] - P[b, 2]
    length2 = lx * lx + ly * ly + lz * lz
    far2 = dx * dx + dy * dy + dz * dz
    if not far2 < 4 * length2:  # no farther than twice the edge's length
        dx, dy, dz, far2 = 0.0, 0.0, 0.0, 0.0
    out[0], out[1], out[2] = mx + dx, my + dy, mz + dz
    error = (
        (xx * mx + 2 * xy * my + 2 * xz * mz) * mx
        + (yy * my + 2 * yz * mz) * my
        + zz * mz * mz
        + 2 * ((Q[a, 6] + Q[b, 6]) * mx + (Q[a, 7] + Q[b, 7]) * my + (Q[a, 8] + Q[b, 8]) * mz)
        + Q[a, 9]
        + Q[b, 9]
        + 2 * (gx * dx + gy * dy + gz * dz)
        + (xx * dx + 2 * xy * dy + 2 * xz * dz) * dx
        + (yy * dy + 2 * yz * dz) * dy
        + zz * dz * dz
    )
    return max(error, 0.0) + regularity * length2 * (xx + yy + zz)


@jit
def _push(keys: Any, ends: Any, size: Any, key: Any, a: Any, b: Any, version: Any) -> Any:  # pragma: no cover
    """Add an entry to the heap keys [N], ends [N, 3]; returns the new size."""
    i = size
    while i > 0:
        up = (i - 1) >> 1
        if keys[up] <= key:
            break
        keys[i] = keys[up]
        ends[i, 0], ends[i, 1], ends[i, 2] = ends[up, 0], ends[up, 1], ends[up, 2]
        i = up
    keys[i] = key
    ends[i, 0], ends[i, 1], ends[i, 2] = a, b, version
    return size + 1


@jit
def _pop(keys: Any, ends: Any, size: Any) -> Any:  # pragma: no cover
    """Remove the heap's first entry (read it before); returns the new size."""
    size -= 1
    key = keys[size]
    a, b, version = ends[size, 0], ends[size, 1], ends[size, 2]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[i] = keys[child]
        ends[i, 0], ends[i, 1], ends[i, 2] = ends[child, 0], ends[child, 1], ends[child, 2]
        i = child
    keys[i] = key
    ends[i, 0], ends[i, 1], ends[i, 2] = a, b, version
    return size


@jit
def _spoils(
    P: Any, faces: Any, head: Any, following: Any, moved: Any, other: Any, x: Any, y: Any, z: Any, least_area2: Any
) -> Any:  # pragma: no cover
    """Whether moving vertex `moved` to (x, y, z) turns or flattens one of its faces that does not hold `other`."""
    corner = head[moved]
    while corner >= 0:
        f, k = corner // 3, corner % 3
        if faces[f, 0] != other and faces[f, 1] != other and faces[f, 2] != other:
            i, j = faces[f, (k + 1) % 3], faces[f, (k + 2) % 3]
            ex, ey, ez = P[j, 0] - P[i, 0], P[j, 1] - P[i, 1], P[j, 2] - P[i, 2]
            px, py, pz = P[moved, 0] - P[i, 0], P[moved, 1] - P[i, 1], P[moved, 2] - P[i, 2]
            qx, qy, qz = x - P[i, 0], y - P[i, 1], z - P[i, 2]
            ox, oy, oz = ey * pz - ez * py, ez * px - ex * pz, ex * py - ey * px
            nx, ny, nz = ey * qz - ez * qy, ez * qx - ex * qz, ex * qy - ey * qx
            old2, new2 = ox * ox + oy * oy + oz * oz, nx * nx + ny * ny + nz * nz
            if new2 < least_area2:
                return True
            dot = ox * nx + oy * ny + oz * nz
            if dot < 0 or dot * dot < MIN_COS * MIN_COS * old2 * new2:
                return True
            rx, ry, rz = qx - ex, qy - ey, qz - ez
            longest2 = max(ex * ex + ey * ey + ez * ez, qx * qx + qy * qy + qz * qz, rx * rx + ry * ry + rz * rz)
            if new2 < (MIN_SHAPE * longest2) ** 2:
                before2 = max(
                    ex * ex + ey * ey + ez * ez,
                    px * px + py * py + pz * pz,
                    (px - ex) ** 2 + (py - ey) ** 2 + (pz - ez) ** 2,
                )
                if new2 * before2 * before2 <= old2 * longest2 * longest2:  # a sliver, and not a better one than before
                    return True
        corner = following[corner]
    return False


@jit
def _collapse(
    P: Any,
    faces: Any,
    planes: Any,
    Q: Any,
    p: Any,
    head: Any,
    following: Any,
    valence: Any,
    version: Any,
    mark: Any,
    keys: Any,
    ends: Any,
    target: Any,
    least_area2: Any,
    regularity: Any,
) -> Any:  # pragma: no cover
    """Collapse edges, cheapest first, until `target` faces are left or none may be collapsed.

    P [V, 3] float64 and faces [F, 3] int32 are changed in place; a dead face has faces[f, 0] = -1. Returns faces left.
    planes [V, 4] float64: what a vertex's quadric measures the distance to; without rows, the planes of its faces.
    To work in: Q [V, 10] float64 of 0, p [3] float64; int32: head [V] of -1, following [3F], valence and version [V] of
    0, mark [V] of -1; the heap keys [3F] float64, ends [3F, 3] int32.
    """
    F = len(faces)
    for f in range(F):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = P[b, 0] - P[a, 0], P[b, 1] - P[a, 1], P[b, 2] - P[a, 2]
        vx, vy, vz = P[c, 0] - P[a, 0], P[c, 1] - P[a, 1], P[c, 2] - P[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-300
        w = length / 18
        nx, ny, nz = nx / length, ny / length, nz / length
        d = -(nx * P[a, 0] + ny * P[a, 1] + nz * P[a, 2])
        for k in range(3):
            i = faces[f, k]
            q = Q[i]
            # all three planes: at an edge of the object a vertex must know the far side too, or it slides inwards
            for j in range(3):
                if len(planes) > 0:
                    o = faces[f, j]
                    nx, ny, nz, d = planes[o, 0], planes[o, 1], planes[o, 2], planes[o, 3]
                q[0] += w * nx * nx
                q[1] += w * nx * ny
                q[2] += w * nx * nz
                q[3] += w * ny * ny
                q[4] += w * ny * nz
                q[5] += w * nz * nz
                q[6] += w * nx * d
                q[7] += w * ny * d
                q[8] += w * nz * d
                q[9] += w * d * d
            following[3 * f + k] = head[i]
            head[i] = 3 * f + k
            valence[i] += 1
    capacity = len(keys)
    size = np.int64(0)
    for f in range(F):
        for k in range(3):
            a, b = faces[f, k], faces[f, (k + 1) % 3]
            if a < b:
                size = _push(keys, ends, size, _cost(Q, P, a, b, regularity, p), a, b, np.int64(0))
    alive, stamp = F, 0
    while alive > target and size > 0:
        a, b, seen = ends[0, 0], ends[0, 1], ends[0, 2]
        size = _pop(keys, ends, size)
        if head[a] < 0 or head[b] < 0 or seen != version[a] + version[b]:
            continue
        # the link condition
        stamp += 1
        corner = head[a]
        while corner >= 0:
            f, k = corner // 3, corner % 3
            mark[faces[f, (k + 1) % 3]] = stamp
            corner = following[corner]
        common, tight = 0, False
        corner = head[b]
        while corner >= 0:
            f, k = corner // 3, corner % 3
            i = faces[f, (k + 1) % 3]
            if mark[i] == stamp:
                common += 1
                tight = tight or valence[i] <= 3
            corner = following[corner]
        if common != 2 or tight:
            continue
        _cost(Q, P, a, b, regularity, p)
        x, y, z = p[0], p[1], p[2]
        if _spoils(P, faces, head, following, a, b, x, y, z, least_area2) or _spoils(
            P, faces, head, following, b, a, x, y, z, least_area2
        ):
            continue
        # b goes into a: its faces are handed over, the two faces at the edge die
        P[a, 0], P[a, 1], P[a, 2] = x, y, z
        for k in range(10):
            Q[a, k] += Q[b, k]
        kept = -1
        count = 0
        for vertex in (a, b):
            corner = head[vertex]
            while corner >= 0:
                onward = following[corner]
                f, k = corner // 3, corner % 3
                i, j = faces[f, (k + 1) % 3], faces[f, (k + 2) % 3]
                if i < 0 or j < 0 or faces[f, k] < 0:
                    pass
                elif i in (a, b) or j in (a, b):
                    if vertex == b:
                        wing = j if i in (a, b) else i
                        # take the dead face out of the wing's ring
                        at, last = head[wing], -1
                        while at // 3 != f:
                            last = at
                            at = following[at]
                        if last < 0:
                            head[wing] = following[at]
                        else:
                            following[last] = following[at]
                        valence[wing] -= 1
                        faces[f, 0] = -1
                        alive -= 1
                else:
                    faces[f, k] = a
                    following[corner] = kept
                    kept = corner
                    count += 1
                corner = onward
        head[a], head[b] = kept, -1
        valence[a] = count
        version[a] += 1
        if size + count > capacity:  # drop the entries that are out of date
            fresh = np.int64(0)
            for e in range(size):  # the new heap grows within what has been read of the old one
                i, j, seen = ends[e, 0], ends[e, 1], ends[e, 2]
                if head[i] >= 0 and head[j] >= 0 and seen == version[i] + version[j]:
                    fresh = _push(keys, ends, fresh, keys[e], i, j, np.int64(seen))
            size = fresh
        corner = kept
        while corner >= 0:
            f, k = corner // 3, corner % 3
            i = faces[f, (k + 1) % 3]
            size = _push(keys, ends, size, _cost(Q, P, a, i, regularity, p), a, i, np.int64(version[a] + version[i]))
            corner = following[corner]
    return alive


def simplify(mesh: Mesh, target_faces: int, checkpoint: Checkpoint, planes: NDArray[np.float64] | None = None) -> Mesh:
    """Reduce a closed 2-manifold to about `target_faces` faces, staying a closed 2-manifold.

    planes: [V, 4] float64, the plane n·x + c = 0 (n a unit vector) of the true surface at each vertex, where it is
    better known than the faces tell. Vertices are put where planes meet, so edges that the faces cut off come back.
    It stops above the target where no edge may be collapsed any more (many small handles).
    """
    if len(mesh.faces) <= target_faces:
        return mesh
    vertices, faces = mesh.vertices.copy(), mesh.faces.copy()
    extent = float(np.ptp(vertices, axis=0).max())
    checkpoint(0.0)
    V, corners = len(vertices), faces.size
    _collapse(
        vertices,
        faces,
        np.empty((0, 4)) if planes is None else planes,
        np.zeros((V, 10)),
        np.zeros(3),
        np.full(V, -1, np.int32),
        np.empty(corners, np.int32),
        np.zeros(V, np.int32),
        np.zeros(V, np.int32),
        np.full(V, -1, np.int32),
        np.empty(corners),
        np.empty((corners, 3), np.int32),
        target_faces,
        (1e-9 * extent * extent) ** 2,
        REGULARITY,
    )
    checkpoint(1.0)
    alive: NDArray[np.bool_] = faces[:, 0] >= 0
    return compact(Mesh(vertices, faces[alive]))
