"""The kernels of `simplify`: quadrics, a heap of edges, and collapses that are checked first."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.jit import jit

MIN_COS = 0.25
"""A face may turn by at most the angle of this cosine in one collapse."""
MIN_SHAPE = 0.03
"""Least twice-area over squared longest edge of a face that a collapse makes (0.87 is equilateral)."""


@jit
def _cost(Q: Any, P: Any, a: Any, b: Any, regularity: Any, out: Any) -> Any:  # pragma: no cover
    """Cost of collapsing the edge (a, b), infinite where it is no number; the best position goes to out [3].

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
    cost = max(error, 0.0) + regularity * length2 * (xx + yy + zz)
    return cost if cost < np.inf else np.inf


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
def rings(faces: Any, head: Any, following: Any, valence: Any) -> Any:  # pragma: no cover
    """List the corners (3·face + place) at each vertex: head [V] of -1, following [3F], valence [V] of 0, all int32."""
    for f in range(len(faces)):
        for k in range(3):
            i = faces[f, k]
            following[3 * f + k] = head[i]
            head[i] = 3 * f + k
            valence[i] += 1


@jit
def add_quadrics(
    P: Any, faces: Any, planes: Any, head: Any, following: Any, first: Any, end: Any, Q: Any
) -> Any:  # pragma: no cover
    """Fill rows first..end of Q [V, 10], of 0. planes: see `simplify`; without rows, those of the faces."""
    for i in range(first, end):
        q = Q[i]
        corner = head[i]
        while corner >= 0:
            f = corner // 3
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            ux, uy, uz = P[b, 0] - P[a, 0], P[b, 1] - P[a, 1], P[b, 2] - P[a, 2]
            vx, vy, vz = P[c, 0] - P[a, 0], P[c, 1] - P[a, 1], P[c, 2] - P[a, 2]
            nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-300
            w = length / 18
            nx, ny, nz = nx / length, ny / length, nz / length
            d = -(nx * P[a, 0] + ny * P[a, 1] + nz * P[a, 2])
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
            corner = following[corner]


@jit
def list_edges(
    P: Any,
    faces: Any,
    Q: Any,
    p: Any,
    head: Any,
    following: Any,
    version: Any,
    block: Any,
    vertices: Any,
    keys: Any,
    ends: Any,
    regularity: Any,
) -> Any:  # pragma: no cover
    """Put the edges between `vertices` of one block into an empty heap; returns its size. The rest as in `collapse`."""
    size = np.int64(0)
    for a in vertices:
        corner = head[a]
        while corner >= 0:
            f, k = corner // 3, corner % 3
            b = faces[f, (k + 1) % 3]
            if a < b and block[b] == block[a]:
                size = _push(
                    keys, ends, size, _cost(Q, P, a, b, regularity, p), a, b, np.int64(version[a] + version[b])
                )
            corner = following[corner]
    return size


@jit
def collapse(
    P: Any,
    faces: Any,
    Q: Any,
    p: Any,
    head: Any,
    following: Any,
    valence: Any,
    version: Any,
    mark: Any,
    block: Any,
    keys: Any,
    ends: Any,
    state: Any,
    most: Any,
    limit: Any,
    least_area2: Any,
    regularity: Any,
) -> Any:  # pragma: no cover
    """Collapse edges of a heap, cheapest first, until `most` faces are dead or none is cheaper than `limit`.

    P [V, 3] float64 and faces [F, 3] int32 are changed in place; a dead face has faces[f, 0] = -1. Returns how many
    died. Q [V, 10] quadrics; head, following, valence: `rings`. version [V] int32: how often a vertex has changed.
    block [V] int32: edges between two blocks stay. keys [N], ends [N, 3] int32: the heap; state [2] int64: its size,
    and the last stamp that mark [V] int32 was given, both kept from call to call. To work in: p [3].

    Blocks none of whose vertices has a neighbour in another, or one in common with another, may do it at a time: a
    collapse changes its ends, the faces at them, and their neighbours' rings and marks.
    """
    capacity = len(keys)
    size, stamp, dead = state[0], state[1], np.int64(0)
    while dead < most and size > 0 and keys[0] <= limit:
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
                        dead += 1
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
            if block[i] == block[a]:
                cost = _cost(Q, P, a, i, regularity, p)
                size = _push(keys, ends, size, cost, a, i, np.int64(version[a] + version[i]))
            corner = following[corner]
    state[0], state[1] = size, stamp
    return dead
