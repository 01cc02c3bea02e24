"""Where a step computes, how much of the GPU's memory it may take, and what becomes of one that takes more or fails.

    if choose() == "cuda":
        load = fitting(Load(...), free_bytes("cuda"))
        result = with_less(step, load)

A load says what a step holds on the GPU at once. What is given up for want of memory is time, never the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, Self, TypeVar

import structlog

from config.errors import GpuUnavailable, ModelOutOfVram
from engine import machine
from engine.render.backends import no_rasterizer, on_cuda

__all__ = [
    "Load",
    "after_failure",
    "choose",
    "fitting",
    "free_bytes",
    "is_out_of_memory",
    "release",
    "require_device",
    "with_less",
]

log = structlog.get_logger(__name__)

_SHARE = 0.85
"""Of what is free: allocators leave gaps."""
_MOST_OF_A_REASON = 200


class Load(Protocol):
    """What a step holds on the GPU at once."""

    @property
    def bytes(self) -> int:
        """What that takes, estimated."""
        ...

    def less(self) -> Self | None:
        """The next smaller one; None where there is none."""
        ...


Value = TypeVar("Value")
AnyLoad = TypeVar("AnyLoad", bound=Load)


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


def require_device() -> None:
    """Ask for the device before a job computes for a minute without it.

    Raises GpuUnavailable where the setting engine.device is "cuda" and nothing rasterises there.
    """
    if machine.device() == "cuda":
        choose()


def free_bytes(device: str) -> int | None:
    """Memory that a step could have on the device, what torch keeps for later included; None on the CPU: no limit."""
    if not device.startswith("cuda"):
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def fitting(load: AnyLoad, free: int | None) -> AnyLoad:
    """The largest of `load` and the smaller ones that fits into `free` bytes; `load` where there is no limit.

    Raises ModelOutOfVram where none does.
    """
    each: AnyLoad | None = load
    while each is not None:
        if free is None or each.bytes <= _SHARE * free:
            return each
        least, each = each, each.less()
    raise _out_of_memory(
        f"{_mb(free or 0)} MB of GPU memory are free, and the least that this step can do with is about "
        f"{_mb(least.bytes)} MB.",
        free_mb=_mb(free or 0),
        needed_mb=_mb(least.bytes),
    )


def with_less(step: Callable[[AnyLoad], Value], load: AnyLoad) -> Value:
    """`step(load)`, and where the device's memory runs out the same with less, as often as there is less.

    A step that runs out must be one that can be begun anew.
    Raises ModelOutOfVram where the smallest runs out too; other errors pass.
    """
    each = load
    while True:
        try:
            return step(each)
        except Exception as error:  # torch, numba and the driver each have errors of their own for it; others pass
            if not is_out_of_memory(error):
                raise
            less, reason = each.less(), _first_line(error)
        # Outside of the except clause: the error holds the frames, and those the tensors that fill the memory.
        release()
        if less is None:
            raise _out_of_memory(
                f"GPU memory ran out, though this step held the least that it can do with, about {_mb(each.bytes)} MB.",
                needed_mb=_mb(each.bytes),
                reason=reason,
            )
        log.info("gpu.with_less", needed_mb=_mb(less.bytes), before_mb=_mb(each.bytes), reason=reason)
        each = less


def after_failure(error: Exception) -> str:
    """What to say where a step on CUDA has failed, and not for want of memory, so that the CPU has to do it.

    From then on this process computes on the CPU: a context of CUDA that has seen an error may answer nothing any more.
    Raises GpuUnavailable where the setting engine.device insists on CUDA.
    """
    reason = f"{type(error).__name__}: {_first_line(error)}"
    log.warning("gpu.failed", exc_info=error)
    if machine.device() == "cuda":
        raise GpuUnavailable(
            f"The GPU failed: {reason}.",
            suggestion="Check the driver and the GPU with `nvidia-smi` and `meshdrop doctor`, or set engine.device to "
            '"auto" or "cpu".',
        ) from error
    machine.give_cuda_up(reason)
    return f"The GPU failed ({reason})."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or numba says that the device's memory is full. Imports neither."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "OutOfMemoryError" in kinds:  # torch.cuda.OutOfMemoryError, torch.OutOfMemoryError
        return True
    text = str(error)
    if "CUDA_ERROR_OUT_OF_MEMORY" in text:  # the driver's, by numba or NVIDIA's bindings
        return True
    if "CudaAPIError" in kinds:
        return getattr(error, "code", None) == 2
    return "RuntimeError" in kinds and "CUDA" in text and "out of memory" in text  # torch's libraries


def release() -> None:
    """Give back what torch keeps of the device's memory."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _out_of_memory(message: str, **details: int | str) -> ModelOutOfVram:
    suggestion = 'Free the GPU, ask for a lower quality, or set engine.device to "cpu".'
    return ModelOutOfVram(message, suggestion=suggestion, **details)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:_MOST_OF_A_REASON].rstrip(".")


def _mb(count: int) -> int:
    return count >> 20
