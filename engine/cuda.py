"""CUDA kernels in numba, on torch's tensors and torch's stream.

numba's CUDA target is the package `numba-cuda`, an extra: `pip install "meshdrop[cuda]"`. Nothing here is needed, or
imported, where there is none. With NUMBA_ENABLE_CUDASIM=1 and NUMBA_DISABLE_JIT=1 kernels run in numba's simulator, in
plain Python on tensors of the CPU: slow, on any machine, for tests.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from numba.core import config

if TYPE_CHECKING:
    import torch

__all__ = ["SIMULATED", "device_function", "kernel", "launch", "missing"]

Function = TypeVar("Function", bound=Callable[..., Any])
SIMULATED = bool(cast(Any, config).ENABLE_CUDASIM)
_THREADS = 128
_FEWEST_BLOCKS = 128
"""More than there is work for does no harm, and numba warns of fewer."""
_MOST_BLOCKS = 1 << 16
_SIMULATED_GRID = (2, 3)


@cache
def missing() -> str | None:
    """Why kernels can't run here, in words; None where they can. Imports torch and numba's CUDA target."""
    if SIMULATED:
        return None
    import torch

    if not torch.cuda.is_available():
        return "PyTorch sees no CUDA device"
    try:
        # numba's own copy of the target is not kept up any more, and knows no recent CUDA.
        if importlib.util.find_spec("numba_cuda") is None:
            return "the package numba-cuda is not installed"
        target = importlib.import_module("numba.cuda")
        if not target.is_available():
            return f"numba can't use CUDA: {target.cuda_error()}"
        target.current_context()
    except Exception as error:  # of the driver, of numba, of either's libraries: all mean the same
        return f"numba can't use CUDA: {error}"
    return None


def kernel(function: Function) -> Function:
    """Compile `function` for CUDA when it is first launched, kept on disk; functions of `jit` may be called in it.

    As there, the file kept on disk is told from an outdated one by the kernel's own file, not by what it calls.
    """
    from numba import cuda

    try:
        return cast(Function, cuda.jit(function, cache=True))
    except RuntimeError:  # neither the package's folder nor the user's cache folder can be written
        return cast(Function, cuda.jit(function))


def device_function(function: Function) -> Function:
    """Compile `function` to be called in kernels alone, where it does what only CUDA can."""
    from numba import cuda

    return cast(Function, cuda.jit(function, device=True))


def launch(function: Callable[..., None], count: int, device: torch.device, *arguments: Any) -> None:
    """Run a kernel for `count` items on torch's current stream of `device`.

    Tensors are handed over where they lie, without a copy; they must be contiguous and not empty. The rest are numbers.
    """
    import torch

    if count == 0:
        return
    if SIMULATED:
        grid = cast(Any, function)[_SIMULATED_GRID]
        grid(*(a.detach().numpy() if isinstance(a, torch.Tensor) else a for a in arguments))
        return
    from numba import cuda

    given = [cuda.as_cuda_array(a.detach(), sync=False) if isinstance(a, torch.Tensor) else a for a in arguments]
    blocks = min(max(-(-count // _THREADS), _FEWEST_BLOCKS), _MOST_BLOCKS)
    with cuda.gpus[device.index or 0]:
        stream = torch.cuda.current_stream(device).cuda_stream
        cast(Any, function)[blocks, _THREADS, cuda.external_stream(stream) if stream else 0](*given)
