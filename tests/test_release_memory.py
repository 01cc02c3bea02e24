"""Freed memory goes back to the system."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from engine.machine import release_memory

BLOCK = 100_000  # below what glibc maps on its own, so that it comes from the heap


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_lies_below_a_block_in_use_is_given_back() -> None:
    blocks = [bytearray(BLOCK) for _ in range(2000)]
    last = bytearray(BLOCK)
    del blocks
    held = _resident_mb()
    release_memory()
    assert _resident_mb() < held - 100
    assert len(last) == BLOCK
