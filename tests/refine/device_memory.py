"""A device's memory as far as torch's own allocations go, for tests on machines without one."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


class Memory(TorchDispatchMode):
    """While entered, counts the bytes of tensors that torch makes and that are still held, and raises as CUDA does
    where they would be more than `limit_bytes`. What tensors share, and what NumPy made, is not counted."""

    def __init__(self, limit_bytes: int | None = None) -> None:
        super().__init__()
        self.limit_bytes, self.live_bytes, self.peak_bytes = limit_bytes, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_place(t) for t in tree_flatten((args, kwargs or {}))[0] if isinstance(t, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_flatten(out)[0]:
            if isinstance(tensor, torch.Tensor) and _place(tensor) not in given:
                self._take(tensor.untyped_storage())
        return out

    def _take(self, storage: Any) -> None:
        size = storage.nbytes()
        if self.limit_bytes is not None and self.live_bytes + size > self.limit_bytes:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size >> 20} MiB.")
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        weakref.finalize(storage, self._give_back, size)

    def _give_back(self, size: int) -> None:
        self.live_bytes -= size


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
