"""Where torch computes, how much of its memory a step may take, and what becomes of a step that takes more.

    device = choose()
    load = fitting(Load(views=6, size_px=1024, texture_size_px=2048, faces=100_000), free_bytes(device))
    result = with_less(step, load)

What is given up first changes nothing but the time: fewer views at once. Then resolution goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from config.errors import ModelOutOfVram
from engine import machine
from engine.render.backends import no_rasterizer, on_cuda

__all__ = ["Load", "choose", "fitting", "free_bytes", "is_out_of_memory", "with_less"]

Value = TypeVar("Value")

# Counted, not measured: the tensors of one rasterisation, three interpolations, a texture, an antialiasing and their
# ways back take 230 bytes a pixel, and losses with autograd hold about as much again twice over. A texel has three
# channels: the image, its mip chain, the sums of its gradient as integers and as numbers, an optimiser's moments.
_BYTES_A_PIXEL = 700
_BYTES_A_TEXEL = 160
_BYTES_A_FACE = 400
_BYTES_ANYWAY = 512 << 20
"""What CUDA, torch and compiled kernels take before anything is done."""
_SMALLEST_PX = 256
_SHARE = 0.85
"""Of what is free: allocators leave gaps."""


@dataclass(frozen=True)
class Load:
    """What a step on the device holds at once: pictures of size_px², of `views` views, of a mesh with a texture."""

    views: int
    size_px: int
    texture_size_px: int
    faces: int

    @property
    def bytes(self) -> int:
        """What that takes, estimated."""
        pixels, texels = self.views * self.size_px**2, self.texture_size_px**2
        return _BYTES_ANYWAY + _BYTES_A_PIXEL * pixels + _BYTES_A_TEXEL * texels + _BYTES_A_FACE * self.faces

    def less(self) -> Load | None:
        """The next smaller one: half the views at once, down to one; then half the size, down to 256; None below."""
        if self.views > 1:
            return replace(self, views=self.views // 2)
        if self.size_px // 2 >= _SMALLEST_PX:
            return replace(self, size_px=self.size_px // 2)
        return None


def choose() -> Literal["cpu", "cuda"]:
    """The device by the setting engine.device: CUDA where something rasterises on it, unless the setting is "cpu".

    Raises GpuUnavailable where it is "cuda" and nothing does. Imports torch where a back end for CUDA is installed.
    """
    wanted = machine.device()
    if wanted == "cpu":
        return "cpu"
    if on_cuda() is not None:
        return "cuda"
    if wanted == "cuda":
        raise no_rasterizer()
    return "cpu"


def free_bytes(device: str) -> int | None:
    """Memory that a step could have on the device, what torch keeps for later included; None on the CPU: no limit."""
    if not device.startswith("cuda"):
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def fitting(load: Load, free: int | None) -> Load:
    """The largest of `load` and the smaller ones that fits into `free` bytes; `load` where there is no limit.

    Raises ModelOutOfVram where none does.
    """
    each: Load | None = load
    while each is not None:
        if free is None or each.bytes <= _SHARE * free:
            return each
        least, each = each, each.less()
    raise ModelOutOfVram(
        f"{_mb(free or 0)} MB of GPU memory are free, and the least that this step can do with is about "
        f"{_mb(least.bytes)} MB.",
        free_mb=_mb(free or 0),
        needed_mb=_mb(least.bytes),
    )


def with_less(step: Callable[[Load], Value], load: Load, on_less: Callable[[Load], None] | None = None) -> Value:
    """`step(load)`, and where the device's memory runs out the same with less, as often as there is less.

    A step that runs out must be one that can be begun anew. on_less: told of each smaller load before it is tried.
    Raises ModelOutOfVram where the smallest runs out too; other errors pass.
    """
    each = load
    while True:
        try:
            return step(each)
        except Exception as error:  # torch, numba and the driver each have errors of their own for it; others pass
            if not is_out_of_memory(error):
                raise
            less, reason = each.less(), str(error).partition("\n")[0][:200]
        # Outside of the except clause: the error holds the frames, and those the tensors that fill the memory.
        _release()
        if less is None:
            raise ModelOutOfVram(f"GPU memory ran out at {each.size_px} pixels and one view at a time.", reason=reason)
        if on_less is not None:
            on_less(less)
        each = less


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or numba says that the device's memory is full. Imports neither."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "OutOfMemoryError" in kinds:  # torch.cuda.OutOfMemoryError, torch.OutOfMemoryError
        return True
    text = str(error)
    if "CudaAPIError" in kinds:  # numba's, of the driver: code 2
        return getattr(error, "code", None) == 2 or "CUDA_ERROR_OUT_OF_MEMORY" in text
    return "RuntimeError" in kinds and "CUDA" in text and "out of memory" in text  # torch's libraries


def _release() -> None:
    """Give back what torch keeps of the device's memory."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _mb(count: int) -> int:
    return count >> 20
