"""Mip chains of textures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from engine.mesh import TexturedMesh


@dataclass(frozen=True, eq=False)
class MipChain:
    """An image at every half size down to one pixel.

    texels: [N, C] uint8 or float32, all levels one after the other, row-major. levels: [L, 3] int64: first texel,
    height, width.
    """

    texels: NDArray[Any]
    levels: NDArray[np.int64]

    def level(self, index: int) -> NDArray[Any]:
        """[H, W, C] one level."""
        first, height, width = (int(value) for value in self.levels[index])
        return self.texels[first : first + height * width].reshape(height, width, -1)


def halve(image: NDArray[Any]) -> NDArray[Any]:
    """Box-filter [H, W, C] to [ceil(H/2), ceil(W/2), C]; odd sizes repeat the last row or column."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    wide: NDArray[Any] = image.astype(np.uint16) if image.dtype == np.uint8 else image
    total = wide[0::2, 0::2] + wide[0::2, 1::2] + wide[1::2, 0::2] + wide[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8) if image.dtype == np.uint8 else np.asarray(total * np.float32(0.25))


def mip_chain(image: NDArray[Any], *, full: bool = True) -> MipChain:
    """The chain of an image [H, W, C], uint8 or float32; with `full` false the first level alone."""
    if image.ndim != 3 or image.dtype not in (np.uint8, np.float32):
        raise ValueError(f"a texture is [H, W, C] uint8 or float32, not {image.shape} {image.dtype}")
    images = [image]
    while full and max(images[-1].shape[:2]) > 1:
        images.append(halve(images[-1]))
    sizes = [(i.shape[0], i.shape[1]) for i in images]
    first = np.cumsum([0] + [h * w for h, w in sizes])[:-1]
    levels = np.array([(f, h, w) for f, (h, w) in zip(first, sizes, strict=True)], np.int64)
    if not full and image.flags.c_contiguous:
        return MipChain(image.reshape(-1, image.shape[2]), levels)
    return MipChain(np.concatenate([i.reshape(-1, image.shape[2]) for i in images]), levels)


_chains: WeakKeyDictionary[TexturedMesh, MipChain] = WeakKeyDictionary()


def whole_halvings(height: int, width: int) -> int:
    """How often an image can be halved without a row or column left over, until one texel is all there is."""
    count = 0
    while max(height, width) > 1 and all(side == 1 or side % 2 == 0 for side in (height, width)):
        height, width, count = max(1, height // 2), max(1, width // 2), count + 1
    return count


def texture_chain(textured: TexturedMesh) -> MipChain:
    """The chain of a mesh's texture, made once for as long as the mesh lives."""
    chain = _chains.get(textured)
    if chain is None:
        chain = _chains[textured] = mip_chain(textured.texture_kd)
    return chain
