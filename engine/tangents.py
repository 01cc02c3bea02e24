"""Tangent frames by MikkTSpace's rules, so that a normal map means the same in every program.

After Mikkelsen, "Simulation of Wrinkled Surfaces Revisited", Master's thesis, University of Copenhagen, 2008, and its
published reference description: the frame of a corner is the mean, by angle, of the frames of the triangles around its
vertex that are joined by shared edges and have their texture the same way round; triangles count as joined where
position, normal and texture coordinate are equal. The angular threshold is the default one, 180 degrees. Degenerate
triangles take part in no mean: those without area in the texture take their neighbours' frame, those without area in
space another triangle's at the same vertex.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Float = NDArray[np.float64]
Int = NDArray[np.int64]


def corner_tangents(
    position: NDArray[np.float32], normal: NDArray[np.float32], uv: NDArray[np.float32], faces: NDArray[np.int32]
) -> NDArray[np.float32]:
    """[F, 3, 4] float32: a unit tangent, square to the corner's normal, and the sign w of the bitangent.

    position, normal (unit): [N, 3]; uv: [N, 2], glTF's, v down; faces: [F, 3] int32 into them. The
    bitangent, w·cross(normal, tangent), points to the image's top: a normal map's green is +Y (glTF 2.0, 3.9.3).
    """
    f = _welded(position, normal, uv, faces)
    p, n = position.astype(np.float64)[faces], normal.astype(np.float64)[faces]
    t = uv.astype(np.float64)[faces]
    t[..., 1] = 1 - t[..., 1]  # MikkTSpace is fed as OBJ writes it; with v down the sign would come out reversed
    d1, d2 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    t1, t2 = t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]
    area = t1[:, 0] * t2[:, 1] - t1[:, 1] * t2[:, 0]
    dead = (f[:, 0] == f[:, 1]) | (f[:, 1] == f[:, 2]) | (f[:, 0] == f[:, 2])
    for a, b in ((0, 1), (1, 2), (0, 2)):
        dead |= (p[:, a] == p[:, b]).all(1)
    flat = (np.abs(area) <= np.finfo(np.float32).tiny) & ~dead
    upright = area > 0
    along = t2[:, 1:] * d1 - t1[:, 1:] * d2
    along = _unit(np.asarray(np.where(upright, 1.0, -1.0)[:, None] * along, np.float64))
    flat |= ~dead & ~(np.abs(along).sum(1) > 0)
    group, upright = _groups(f, dead, flat, upright)

    # Each corner's share: its triangle's direction laid into the plane of the corner's normal, by the angle there.
    laid = _unit(along[:, None] - n * (n * along[:, None]).sum(-1, keepdims=True))
    behind, ahead = np.roll(p, 1, 1) - p, np.roll(p, -1, 1) - p
    behind = _unit(behind - n * (n * behind).sum(-1, keepdims=True))
    ahead = _unit(ahead - n * (n * ahead).sum(-1, keepdims=True))
    angle = np.arccos(np.clip((behind * ahead).sum(-1), -1, 1))
    angle[dead | flat] = 0
    total = np.stack(
        [np.bincount(group.ravel(), (angle * laid[..., k]).ravel(), minlength=group.max() + 1) for k in range(3)], 1
    )
    sign = np.where(upright, 1.0, -1.0)[:, None].repeat(3, 1)
    tangent = _unit(np.asarray(total, np.float64))[group]
    if dead.any():
        _copy_to_dead(f, dead, tangent, sign)
    return np.ascontiguousarray(np.concatenate([_square(tangent, n), sign[..., None]], -1), np.float32)


def _unit(v: Float) -> Float:
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 0, v / np.maximum(length, 1e-300), 0))


def _welded(
    position: NDArray[Any], normal: NDArray[Any], uv: NDArray[Any], faces: NDArray[np.int32]
) -> NDArray[np.int64]:
    """[F, 3] the faces by number of what is equal bit by bit."""
    rows = np.ascontiguousarray(np.concatenate([position, normal, uv], 1), np.float32) + np.float32(0)
    whole = rows.view(np.dtype((np.void, rows.shape[1] * 4))).ravel()
    return np.asarray(np.unique(whole, return_inverse=True)[1].astype(np.int64)[faces])


def _groups(
    f: Int, dead: NDArray[np.bool_], flat: NDArray[np.bool_], upright: NDArray[np.bool_]
) -> tuple[Int, NDArray[np.bool_]]:
    """[F, 3] the group of each corner, and the orientation of each face, flat ones' being a neighbour's."""
    count = len(f)
    start, end = f, np.roll(f, -1, 1)
    base = int(f.max()) + 1
    forth, back = (start * base + end).ravel(), (end * base + start).ravel()
    alive = np.repeat(~dead, 3)
    edge = np.flatnonzero(alive)
    # A directed edge that two faces have joins none but the first of them, as in the reference.
    order = edge[np.argsort(forth[edge], kind="stable")]
    place = np.searchsorted(forth[order], back[edge])
    place = np.minimum(place, len(order) - 1) if len(order) else place
    match = order[place] if len(order) else place
    found = forth[match] == back[edge] if len(order) else np.zeros(0, np.bool_)
    edge, match = edge[found], match[found]
    here, there = edge // 3, match // 3
    upright = upright.copy()
    known = ~flat
    while True:  # from face to face: rare, and mostly one step
        reach = ~known[here] & known[there]
        if not reach.any():
            break
        upright[here[reach]] = upright[there[reach]]
        known[here[reach]] = True
    same = upright[here] == upright[there]
    edge, match, here, there = edge[same], match[same], here[same], there[same]
    # An edge's start is the other's end: two corners are joined by each.
    next_corner = here * 3 + (edge % 3 + 1) % 3
    next_match = there * 3 + (match % 3 + 1) % 3
    a, b = np.concatenate([edge, next_corner]), np.concatenate([next_match, match])
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(3 * count, 3 * count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64).reshape(-1, 3), upright


def _copy_to_dead(f: Int, dead: NDArray[np.bool_], tangent: Float, sign: Float) -> None:
    """Faces without area take the frame that another face has at the same vertex."""
    donor = np.full(int(f.max()) + 1, -1)
    alive = np.flatnonzero(np.repeat(~dead, 3))[::-1]
    donor[f.ravel()[alive]] = alive  # the first face's wins
    corners = np.flatnonzero(np.repeat(dead, 3))
    source = donor[f.ravel()[corners]]
    corners, source = corners[source >= 0], source[source >= 0]
    tangent.reshape(-1, 3)[corners] = tangent.reshape(-1, 3)[source]
    sign.reshape(-1)[corners] = sign.reshape(-1)[source]


def _square(tangent: Float, n: Float) -> Float:
    """Tangents of length 1 as glTF demands, even where no triangle says which way they point."""
    out = _unit(tangent - n * (n * tangent).sum(-1, keepdims=True))
    lost = ~(np.linalg.norm(out, axis=-1) > 0.5)
    if lost.any():
        axis = np.where(np.abs(n[lost][:, :1]) < 0.8, np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
        out[lost] = _unit(axis - n[lost] * (n[lost] * axis).sum(-1, keepdims=True))
    return out
