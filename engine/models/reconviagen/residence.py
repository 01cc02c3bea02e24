"""Where a network's weights are while it runs, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn


def weight_bytes(network: nn.Module) -> int:
    """What its parameters and buffers take."""
    return sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))


@contextmanager
def on_device(network: nn.Module, device: torch.device, budget_bytes: int | None) -> Iterator[bool]:
    """Have a network's weights on a device while in the block.

    Where they are larger than the budget, the members of its lists of blocks come one at a time, each for as long as
    it runs: slower, and a few percent of the memory. Yields whether all of it stays on the device.
    """
    whole = budget_bytes is None or weight_bytes(network) <= budget_bytes
    if whole:
        network.to(device)
        yield True
        return
    blocks = [block for part in network.modules() if isinstance(part, nn.ModuleList) for block in part]
    inside = {id(each) for block in blocks for each in block.modules()}
    for module in network.modules():
        if id(module) not in inside:
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                tensor.data = tensor.data.to(device)

    def fetch(module: nn.Module, args: Any) -> None:
        module.to(device)

    def put_back(module: nn.Module, args: Any, output: Any) -> None:
        module.to("cpu")

    with ExitStack() as hooks:
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(fetch).remove)
            hooks.callback(block.register_forward_hook(put_back).remove)
        yield False


@contextmanager
def watched(network: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """Call `check` before each layer of a network, so that what it raises stops it within a layer's time."""

    def before(module: nn.Module, args: Any) -> None:
        check()

    with ExitStack() as hooks:
        for module in network.modules():
            if not any(True for _ in module.children()):
                hooks.callback(module.register_forward_pre_hook(before).remove)
        yield
