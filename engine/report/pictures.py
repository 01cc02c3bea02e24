"""Pictures as they are held in the page: small enough to be there all at once, decoded when they are looked at."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.quality import Closeup

TEXTURE_PX: Final = 2048
# At most so many bytes, so that a page of 50,000 faces has at most 8 MB whatever its pictures show.
PICTURE_BYTES: Final = 90_000
TEXTURE_BYTES: Final = 1_800_000
MAP_BYTES: Final = 110_000
_QUALITIES: Final = (86, 76, 62, 45, 28)
DIFFERENCE_FULL: Final = 96
"""A mean absolute difference of this many levels, of 255, has the last colour of the scale."""
_LEVELS: Final = 48
_MISSING: Final = (240, 60, 200)
_SURPLUS: Final = (60, 220, 120)
_VOID: Final = (24, 25, 28)
_SCALES: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)

# Dark to light for an amount; blue (nearer) and orange (farther) around dark for a signed one. Both keep their order
# in grey, and the second is told apart by people who see no red or green.
AMOUNT: Final = ((10, 8, 24), (70, 18, 100), (160, 42, 98), (228, 92, 48), (250, 176, 50), (252, 246, 190))
SIGNED: Final = (
    (190, 230, 255),
    (70, 150, 240),
    (26, 66, 140),
    (54, 57, 64),
    (140, 62, 14),
    (242, 134, 34),
    (255, 222, 150),
)


def data_uri(data: bytes, kind: str) -> str:
    """A picture as an address: kind is `jpeg`, `png` or `webp`."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def jpeg(image: NDArray[np.uint8], most_bytes: int = PICTURE_BYTES) -> bytes:
    """[H, W, 3] uint8 as JPEG, as well as it goes in so many bytes. (WebP is a third smaller, and takes ten times as
    long.)
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    for quality in _QUALITIES:
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality)
        if out.tell() <= most_bytes:
            break
    return out.getvalue()


def texture_jpeg(texture: NDArray[np.uint8]) -> bytes:
    """The atlas [S, S, 3] uint8, at most 2048 x 2048."""
    if texture.shape[0] > TEXTURE_PX:
        picture = Image.fromarray(np.ascontiguousarray(texture))
        texture = np.asarray(picture.resize((TEXTURE_PX, TEXTURE_PX), Image.Resampling.BOX, reducing_gap=2.0))
    return jpeg(texture, TEXTURE_BYTES)


def cut_out(image: NDArray[np.uint8]) -> bytes:
    """[H, W, 4] uint8, straight alpha, as WebP."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "WEBP", quality=80, method=2)
    return out.getvalue()


def ramp(colours: Iterable[tuple[int, int, int]], count: int) -> NDArray[np.uint8]:
    """[count, 3] uint8: the colours, evenly spread, and what is between them."""
    stops = np.array(list(colours), np.float64)
    at = np.linspace(0, len(stops) - 1, count)
    return np.stack([np.rint(np.interp(at, np.arange(len(stops)), stops[:, c])) for c in range(3)], -1).astype(np.uint8)


def _indexed(index: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A picture of few colours as PNG; what is too much like noise for MAP_BYTES loses every other pixel."""
    while True:
        picture = Image.fromarray(np.ascontiguousarray(index), "L")
        picture.putpalette(palette.tobytes())
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=6)
        if out.tell() <= MAP_BYTES:
            return out.getvalue()
        index = index[::2, ::2]


def difference_png(difference: NDArray[np.uint8]) -> bytes:
    """[S, S] uint8 mean absolute difference, in the colours of AMOUNT."""
    level = np.minimum(difference.astype(np.float32) / DIFFERENCE_FULL, 1) * (_LEVELS - 1)
    return _indexed(np.rint(level).astype(np.uint8), ramp(AMOUNT, _LEVELS))


def depth_scale(closeups: Iterable[Closeup], diagonal: float) -> float:
    """The error that has the last colour, in per cent of the diagonal: 98 % of all pixels are below it."""
    parts = [np.abs(c.depth_difference[np.isfinite(c.depth_difference)]) for c in closeups]
    found = np.concatenate([*parts, np.zeros(1, np.float32)])
    most = float(np.percentile(found, 98)) / max(diagonal, 1e-12) * 100
    return next((scale for scale in _SCALES if scale >= most), _SCALES[-1])


def depth_png(cut: Closeup, diagonal: float, scale_percent: float) -> bytes:
    """The signed depth error in the colours of SIGNED, from -scale to +scale per cent of the diagonal; where only one
    of the two has a surface, in colours of their own.
    """
    with np.errstate(invalid="ignore"):
        share = cut.depth_difference / (max(diagonal, 1e-12) * scale_percent / 100)
    level = np.rint((np.clip(np.nan_to_num(share), -1, 1) + 1) / 2 * (_LEVELS - 2)).astype(np.uint8)
    index = np.where(np.isfinite(cut.depth_difference), level + 3, 0).astype(np.uint8)
    index[cut.missing], index[cut.surplus] = 1, 2
    palette = np.concatenate([np.array([_VOID, _MISSING, _SURPLUS], np.uint8), ramp(SIGNED, _LEVELS - 1)])
    return _indexed(index, palette)


def css_colour(colour: Iterable[int]) -> str:
    """#rrggbb."""
    return "#" + "".join(f"{int(value):02x}" for value in colour)


MISSING_COLOUR: Final = css_colour(_MISSING)
SURPLUS_COLOUR: Final = css_colour(_SURPLUS)
