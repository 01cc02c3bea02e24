"""Bundles made in a test's folder: a slanted box on white, and writers for PNGs that Pillow can't write."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

VIEWS = ("front", "back", "left", "right", "top", "bottom")
SIZE = 256


def view(seed: int = 0, size: int = SIZE, background: int = 255) -> np.ndarray:
    """[size, size, 3] a textured square in the middle."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), background, np.uint8)
    a, b = size // 4, 3 * size // 4
    image[a:b, a:b] = rng.integers(20, 200, (b - a, b - a, 3))
    return image


def depth(seed: int = 0, size: int = SIZE) -> np.ndarray:
    """[size, size] codes: a slope over the same square, 0 around it."""
    code = np.zeros((size, size), np.uint8)
    a, b = size // 4, 3 * size // 4
    code[a:b, a:b] = np.linspace(150 + seed, 255, b - a).astype(np.uint8)[:, None]
    return code


def write_bundle(folder: Path) -> Path:
    """A sound bundle."""
    for name in ("multi_views", "depth_renders"):
        (folder / name).mkdir(parents=True)
    for k, name in enumerate(VIEWS):
        Image.fromarray(view(k)).save(folder / "multi_views" / f"{name}.png", compress_level=1)
        Image.fromarray(depth(k)).save(folder / "depth_renders" / f"{name}.png", compress_level=1)
    return folder


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, color: int, rows: bytes, extra: bytes = b"", interlace: int = 0) -> bytes:
    """A PNG of raw scan lines (each with its filter byte)."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace)
    data = chunk(b"IDAT", zlib.compress(rows, 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + data + chunk(b"IEND", b"")


def png_of(array: np.ndarray, color: int, extra: bytes = b"") -> bytes:
    """A PNG of [h, w, c] uint8 or uint16 values, unfiltered."""
    values = array.astype(">u2") if array.dtype == np.uint16 else array
    h, w = array.shape[:2]
    lines = values.reshape(h, -1).view(np.uint8).reshape(h, -1)
    rows = np.concatenate([np.zeros((h, 1), np.uint8), lines], 1).tobytes()
    return png(w, h, 16 if array.dtype == np.uint16 else 8, color, rows, extra)
