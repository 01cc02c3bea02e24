"""The texture's fit on a GPU: what `texture` does with arrays and threads, on torch's tensors.

The look-up is the texture operation of a back end of `engine.diff`, its adjoint that operation's way back. Pixels go
through it in tiles of a fixed size and in a fixed order, whatever the memory: where there is less of it, more of the
views' pixels stay on the host and come tile by tile at each step, which takes time and changes no byte of the result.
Our own operations are deterministic; nvdiffrast's way back adds in any order, and is taken only where it is asked for
or all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
import structlog
import torch
from torch import Tensor
from torch.nn import functional

from config.bundle_layout import ViewName
from engine import machine
from engine.cuda import SIMULATED
from engine.device import fitting, free_bytes, release, with_less
from engine.diff import operations
from engine.diff.types import Operations
from engine.progress import Checkpoint
from engine.refine.observations import Observations
from engine.refine.sirt import AGREEMENT, NEIGHBOURHOOD_PX, PRIOR, Fit, Float32, never, solve
from engine.render import cuda_trouble

__all__ = ["FitLoad", "ViewsOnDevice", "fit_on_device"]

log = structlog.get_logger(__name__)

TILE_PX = 1 << 20
"""Pixels that are computed together."""

# Bytes of the tensors below and of those of our own operations on CUDA, as a test counts them. What CUDA and torch take
# beside them on a real GPU, in kernels and by rounding up, is a guess.
_A_TEXEL = 152
_A_TEXEL_WEIGHING = 28
_A_PIXEL_HELD = 31
_A_PIXEL_OF_A_TILE = 99
_A_PIXEL_OF_A_VIEW = 16
_A_PIXEL_OF_A_WINDOW = 12
_ANYWAY = 128 << 20


@dataclass(frozen=True)
class FitLoad:
    """A texture of so many texels, and the views: the pixels of each, in order, and of the largest one's window.

    held: of how many views, from the first on, the pixels stay on the device; those of the others come tile by tile.
    """

    texels: int
    pixels: tuple[int, ...]
    window_px: int
    held: int

    @classmethod
    def of(cls, start: Float32, views: Mapping[ViewName, Observations]) -> Self:
        """All of it at once."""
        pixels = tuple(len(view.uv) for view in views.values())
        window_px = max((view.size_px[0] * view.size_px[1] for view in views.values()), default=0)
        return cls(start.shape[0] * start.shape[1], pixels, window_px, len(pixels))

    @property
    def bytes(self) -> int:
        """See `Load`: the larger of what a step and weighing the views take."""
        largest = max(self.pixels, default=0)
        step = _A_TEXEL * self.texels + _A_PIXEL_OF_A_TILE * min(largest, TILE_PX)
        weighing = _A_TEXEL_WEIGHING * self.texels
        weighing += _A_PIXEL_OF_A_VIEW * largest + _A_PIXEL_OF_A_WINDOW * self.window_px
        return _ANYWAY + _A_PIXEL_HELD * sum(self.pixels[: self.held]) + max(step, weighing)

    def less(self) -> FitLoad | None:
        """Half the views, down to none."""
        return replace(self, held=self.held // 2) if self.held else None


def fit_on_device(
    start: Float32,
    views: Mapping[ViewName, Observations],
    steps: int,
    checkpoint: Checkpoint,
    over: Callable[[], bool] = never,
) -> Fit:
    """Fit a texture [S, S, 3] to the views on the GPU. Where its memory runs out it is begun anew with less of it.

    Raises ModelOutOfVram where the least is too much, and what torch, numba or the driver raise where they fail.
    """
    given, device = _back_end()
    free = free_bytes(str(device))
    load = fitting(FitLoad.of(start, views), free)
    log.info(
        "texture_fit.device",
        device=str(device),
        back_end=given.name,
        needed_mb=load.bytes >> 20,
        free_mb=None if free is None else free >> 20,
        views_held=load.held,
        views=len(views),
    )
    fit = with_less(partial(_fit, start, views, steps, checkpoint, over, given, device), load)
    release()  # until the next job others may have it
    return fit


def _back_end() -> tuple[Operations, torch.device]:
    """Our own operations, which are deterministic, where they work and the settings allow; else what they say."""
    device = torch.device("cpu" if SIMULATED else "cuda")
    if machine.cuda_rasterizer() != "nvdiffrast" and cuda_trouble() is None:
        from engine.diff.cuda_operations import CudaOperations

        return CudaOperations(), device
    return operations("cuda"), device


def _fit(
    start: Float32,
    views: Mapping[ViewName, Observations],
    steps: int,
    checkpoint: Checkpoint,
    over: Callable[[], bool],
    given: Operations,
    device: torch.device,
    load: FitLoad,
) -> Fit:
    there = ViewsOnDevice(start, views, given, device, load.held, checkpoint)
    best, errors = solve(there, steps, checkpoint, over)
    return Fit(np.asarray(best.cpu().numpy()), there.agreement, errors, "cuda")


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Pixels of a view: `Observations`' uv [N, 2], uv_dxy [N, 4], rgb [N, 3] uint8, and their weights [N]."""

    uv: Tensor
    uv_dxy: Tensor
    rgb: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.weight)

    def to(self, device: torch.device) -> _Pixels:
        return _Pixels(self.uv.to(device), self.uv_dxy.to(device), self.rgb.to(device), self.weight.to(device))

    def tiles(self, device: torch.device) -> Iterator[_Pixels]:
        """In order, on the device."""
        for first in range(0, len(self), TILE_PX):
            part = slice(first, first + TILE_PX)
            yield _Pixels(self.uv[part], self.uv_dxy[part], self.rgb[part], self.weight[part]).to(device)


class ViewsOnDevice:
    """See `Views`: a texture on a device, with the pixels of the first `held` views."""

    def __init__(
        self,
        start: Float32,
        views: Mapping[ViewName, Observations],
        given: Operations,
        device: torch.device,
        held: int,
        checkpoint: Checkpoint = lambda fraction: None,
    ) -> None:
        """Raises what checkpoint raises, which is called after each view."""
        self._given, self._device = given, device
        self.start = torch.from_numpy(start).to(device)
        self.agreement: dict[ViewName, float] = {}
        self._pixels: list[_Pixels] = []
        self._terms = 0.0
        for n, (name, view) in enumerate(views.items()):
            here = _Pixels(
                torch.from_numpy(view.uv),
                torch.from_numpy(view.uv_dxy).reshape(-1, 4),
                torch.from_numpy(view.rgb),
                torch.from_numpy(view.trust),
            )
            if n < held:
                here = here.to(device)
            weight = self._weights(here, view)
            total = float(weight.sum(dtype=torch.float64))
            self.agreement[name] = round(total / float(here.weight.sum(dtype=torch.float64)), 4)
            self._terms += 3 * total
            self._pixels.append(replace(here, weight=weight.to(here.weight.device)))
            checkpoint(0.0)
        self._norm = self._seen_of_texels().add_(PRIOR)

    def step(self, image: Tensor) -> tuple[float, Tensor]:
        """See `Views`."""
        image = image.detach().requires_grad_(True)
        error = torch.zeros((), dtype=torch.float64, device=self._device)
        gradient = torch.zeros_like(self.start)
        for tile in self._tiles():
            self._add(image, tile, error, gradient)
        return float(error) / max(self._terms, 1e-12), gradient

    def _add(self, image: Tensor, tile: _Pixels, error: Tensor, gradient: Tensor) -> None:
        """A tile's part; what it needs is given back before the next one comes."""
        seen = self._drawn(image, tile)
        apart = tile.rgb - seen.detach()
        residual = apart * tile.weight[:, None]
        error += apart.mul_(residual).sum(dtype=torch.float64)
        gradient += torch.autograd.grad(seen, image, residual)[0]

    def moved(self, image: Tensor, gradient: Tensor) -> Tensor:
        """See `Views`."""
        return gradient.add_(self.start - image, alpha=PRIOR).div_(self._norm).add_(image).clamp_(0, 255)

    def _tiles(self) -> Iterator[_Pixels]:
        return (tile for pixels in self._pixels for tile in pixels.tiles(self._device))

    def _drawn(self, image: Tensor, tile: _Pixels) -> Tensor:
        """[N, C] what a tile shows of an image [S, S, C]."""
        return self._given.texture(image[None], tile.uv[None, None], tile.uv_dxy[None, None])[0, 0]

    def _weights(self, pixels: _Pixels, view: Observations) -> Tensor:
        """[N] as `texture._weights`; pixels.weight is their trust."""
        with torch.no_grad():
            tiles = pixels.tiles(self._device)
            apart = torch.cat([self._drawn(self.start, t).sub_(t.rgb).square_().mean(1) for t in tiles])
            height, width = view.size_px
            row, column = torch.from_numpy(view.row), torch.from_numpy(view.column)
            at = (row.long() * width + column).to(self._device)
            trust = pixels.weight.to(self._device)
            square = torch.zeros(height * width, device=self._device)
            square[at] = trust * apart
            local = _blurred(square, height, width)[at]
            square[at] = trust
            local /= _blurred(square, height, width)[at].clamp_(min=1e-6)
            return local.div_(-(AGREEMENT**2)).exp_().mul_(trust)

    def _seen_of_texels(self) -> Tensor:
        """[S, S, 1] how many weighted pixels a texel makes up."""
        image = torch.zeros_like(self.start[..., :1]).requires_grad_(True)
        total = torch.zeros_like(image, requires_grad=False)
        for tile in self._tiles():
            total += torch.autograd.grad(self._drawn(image, tile), image, tile.weight[:, None])[0]
        return total


def _blurred(window: Tensor, height: int, width: int) -> Tensor:
    """The mean of the square of NEIGHBOURHOOD_PX round each pixel of [H·W], 0 beyond the border: [H·W]."""
    out, half = window.reshape(1, height, width), NEIGHBOURHOOD_PX // 2
    out = functional.avg_pool2d(out, (NEIGHBOURHOOD_PX, 1), stride=1, padding=(half, 0))
    return functional.avg_pool2d(out, (1, NEIGHBOURHOOD_PX), stride=1, padding=(0, half)).reshape(-1)
