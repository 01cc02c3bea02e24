"""Which triangle is seen at every pixel, found on CUDA: what the back ends there begin with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.cuda import launch
from engine.render import cuda_kernels
from engine.render.numba_backend import clipped_corners


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture of H·W = P pixels, before anything is weighed. All tensors are on the device.

    keys: [P] int64, see `cuda_kernels.draw_tiles`. face_index: [P] int32, -1 = none. xy, inverse_w: of V vertices and
    the corners of clipped parts, as `numba_backend.Setup`. triangles: [T, 3] int32 into these, the parts of clipped
    faces among them. corner_weights: [T, 3, 2] float64, the weights that their corners have in their faces.
    """

    keys: Tensor
    face_index: Tensor
    xy: Tensor
    inverse_w: Tensor
    triangles: Tensor
    corner_weights: Tensor | None


def draw(position_clip: Tensor, faces: Tensor, size_px: tuple[int, int]) -> Drawn:
    """position_clip [V, 4] float32, faces [F, 3] int32, on the device. Raises ValueError for other shapes."""
    if position_clip.ndim != 2 or position_clip.shape[1] != 4 or faces.ndim != 2 or faces.shape[1] != 3:
        shapes = f"position_clip is {tuple(position_clip.shape)}, faces {tuple(faces.shape)}"
        raise ValueError(f"{shapes}; expected [V, 4] and [F, 3]")
    device, (height, width) = position_clip.device, size_px
    keys = torch.zeros(height * width, dtype=torch.int64, device=device)
    face_index = torch.full((height * width,), -1, dtype=torch.int32, device=device)
    xy, inverse_w, usable = _snap(position_clip, size_px)
    triangles, face_of, corner_weights = faces, torch.arange(len(faces), dtype=torch.int32, device=device), None
    if len(faces) == 0 or len(position_clip) == 0:
        return Drawn(keys, face_index, xy, inverse_w, triangles, corner_weights)
    tiles = torch.empty(len(faces), dtype=torch.int64, device=device)
    launch(cuda_kernels.count_tiles, len(faces), device, xy, usable, triangles, height, width, tiles)
    ends = tiles.cumsum(0)
    # The one time that the host waits for the device: is there something to clip, how much is there to draw, and are
    # all faces' corners there (a wrong index would end the process' use of the device).
    facts = torch.stack([usable.min().long(), ends[-1], faces.min().long(), faces.max().long()]).tolist()
    if not 0 <= facts[2] <= facts[3] < len(position_clip):
        raise ValueError(f"faces name vertices {facts[2]}..{facts[3]} of {len(position_clip)}")
    if facts[0] == 0:
        corners, parts = clipped_corners(position_clip.cpu().numpy(), faces.cpu().numpy(), size_px)
        if len(parts.face):
            more = _snap(torch.from_numpy(corners).to(device), size_px)
            xy, inverse_w, usable = (torch.cat(pair) for pair in zip((xy, inverse_w, usable), more, strict=True))
            new = torch.arange(len(corners), dtype=torch.int32, device=device).reshape(-1, 3) + len(position_clip)
            whole = torch.eye(3, 2, dtype=torch.float64, device=device).expand(len(faces), 3, 2)
            own = torch.from_numpy(np.ascontiguousarray(parts.weights[:, :, :2])).to(device)
            # In the order of faces, so that of two that are equally near the lower one has the lower number.
            order = torch.cat([face_of, torch.from_numpy(parts.face).to(device)]).argsort(stable=True)
            face_of = torch.cat([face_of, torch.from_numpy(parts.face).to(device)])[order]
            triangles = torch.cat([faces, new])[order]
            corner_weights = torch.cat([whole, own])[order]
            tiles = torch.empty(len(triangles), dtype=torch.int64, device=device)
            launch(cuda_kernels.count_tiles, len(triangles), device, xy, usable, triangles, height, width, tiles)
            ends = tiles.cumsum(0)
            facts[1] = int(ends[-1])
    count = int(facts[1])
    launch(cuda_kernels.draw_tiles, count, device, xy, inverse_w, triangles, ends, count, height, width, keys)
    launch(cuda_kernels.name_faces, len(keys), device, keys, face_of, face_index)
    return Drawn(keys, face_index, xy, inverse_w, triangles, corner_weights)


def _snap(position_clip: Tensor, size_px: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    count, device = len(position_clip), position_clip.device
    xy = torch.zeros((count, 2), dtype=torch.int64, device=device)
    inverse_w = torch.zeros(count, dtype=torch.float64, device=device)
    usable = torch.zeros(count, dtype=torch.uint8, device=device)
    launch(cuda_kernels.snap_vertices, count, device, position_clip, *size_px, xy, inverse_w, usable)
    return xy, inverse_w, usable
