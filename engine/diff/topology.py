"""Which faces meet at which edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def faces_across(faces: NDArray[np.int32]) -> NDArray[np.int32]:
    """[F, 3] int32: the face beyond the edge opposite each corner, -1 at borders and where more than two faces meet."""
    ends = np.sort(faces[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), 1).astype(np.int64)
    key = ends[:, 0] * (int(faces.max(initial=0)) + 1) + ends[:, 1]
    order = np.argsort(key, kind="stable")
    ranked = key[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]])) if len(key) else np.zeros(0, np.int64)
    pairs = starts[np.diff(np.append(starts, len(ranked))) == 2]
    out = np.full(3 * len(faces), -1, np.int32)
    first, second = order[pairs], order[pairs + 1]
    out[first], out[second] = second // 3, first // 3
    return out.reshape(-1, 3)
