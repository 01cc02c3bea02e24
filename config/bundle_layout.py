"""What a bundle's files are called, and whether a file is a complete PNG, told from its bytes as they stream by.

The checks here need neither NumPy nor Pillow: the daemon's long-lived process and the engine use the same ones.
"""

from __future__ import annotations

import fnmatch
import functools
import re
import struct
import unicodedata
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal, get_args

ViewName = Literal["front", "back", "left", "right", "top", "bottom"]
VIEW_NAMES: Final[tuple[ViewName, ...]] = get_args(ViewName)
RGB_DIR: Final = "multi_views"
DEPTH_DIR: Final = "depth_renders"
IMAGE_DIRS: Final = (RGB_DIR, DEPTH_DIR)
JOB_FILES: Final = ("job.toml", "job.toml.txt")

JUNK: Final = (
    "._*",
    ".ds_store",
    ".apdisk",
    ".directory",
    ".fseventsd",
    ".localized",
    ".spotlight-v100",
    ".temporaryitems",
    ".trashes",
    ".trash-*",
    ".stfolder",
    ".stignore",
    ".stversions",
    ".sync",
    ".nfs*",
    ".fuse_hidden*",
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
)
"""What systems leave in folders; ignored wherever it stands. Compared by `name_key`."""

TEMPORARY: Final = (
    ".syncthing.*",
    "~syncthing~*",
    "*.filepart",
    "*.part",
    "*.partial",
    "*.crdownload",
    "*.download",
    "*.tmp",
    "*.temp",
    "~$*",
    ".~*",
    ".*.swp",
    ".goutputstream-*",
)
"""What copying programs call a file that is not finished: while one is there, the bundle is not complete."""

_OTHER_FORMATS: Final = (
    (rb"\xff\xd8\xff", "a JPEG"),
    (rb"GIF8[79]a", "a GIF"),
    (rb"RIFF....WEBP", "a WebP"),
    (rb"BM", "a BMP"),
    (rb"II\*\x00|MM\x00\*", "a TIFF"),
    (rb"\x76\x2f\x31\x01", "an OpenEXR"),
    (rb"....ftyp(avif|avis)", "an AVIF"),
    (rb"....ftyp(heic|heix|mif1|msf1)", "a HEIC"),
    (rb"8BPS", "a Photoshop document"),
    (rb"%PDF", "a PDF"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"#\?RADIANCE", "a Radiance HDR"),
    (rb"version https://git-lfs", "a Git LFS pointer (the file itself was not fetched)"),
    (rb"\s*<(!doctype html|html)", "an HTML page"),
    (rb"\s*(<\?xml|<svg)", "an XML or SVG document"),
    (rb"\x00{64}", "filled with zeros (the copy is not finished, or failed)"),
)

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK_PIECE: Final = 1 << 16
_ALLOWED_BIT_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_COLOR_NAMES: Final = {0: "grayscale", 2: "RGB", 3: "palette", 4: "grayscale with alpha", 6: "RGBA"}
_KEPT_WHOLE: Final = frozenset({b"gAMA", b"acTL", b"PLTE", b"tRNS", b"eXIf", b"cICP"})
_SRGB_CODE_POINTS: Final = b"\x01\x0d\x00\x01"
"""cICP of sRGB: BT.709 primaries, sRGB transfer, RGB, full range."""
_ORIENTATION_TAG: Final = 0x0112


@functools.lru_cache(maxsize=4096)
def name_key(name: str) -> str:
    """What two names are compared by: Unicode's NFC form, case folded. Files are opened by their raw names."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))


_JUNK: Final = _any_of(JUNK)
_TEMPORARY: Final = _any_of(TEMPORARY)


def is_junk(name: str) -> bool:
    """Whether a file or folder of this name is a system's leftover, to be ignored."""
    return _JUNK.match(name_key(name)) is not None


def is_temporary(name: str) -> bool:
    """Whether a file of this name is one that is still being copied."""
    return _TEMPORARY.match(name_key(name)) is not None and not is_junk(name)


class PngError(ValueError):
    """Not a PNG, or a damaged or incomplete one; the text says which, to follow a file's name."""


class PngIncomplete(PngError):
    """It ends too early: it may still be growing."""


@dataclass(frozen=True)
class PngHeader:
    """What a PNG says of itself, in its IHDR and by the chunks that it holds.

    bit_depth: bits a channel. color_type: as in the PNG specification (0 gray, 2 RGB, 3 palette, 4 gray + alpha,
    6 RGBA). gamma: the exponent that gAMA states (0.45455 is sRGB's), None where absent. frames: 1 but for an
    animated PNG. trailing_bytes: what follows the end; readers ignore it. orientation: how EXIF says the image is to be
    turned or flipped for showing, 1 as it is to 8.
    """

    width: int
    height: int
    bit_depth: int
    color_type: int
    interlaced: bool
    gamma: float | None = None
    has_icc_profile: bool = False
    has_transparency: bool = False
    frames: int = 1
    trailing_bytes: int = 0
    orientation: int = 1

    @property
    def channels(self) -> int:
        """Channels as stored (a palette has one)."""
        return _CHANNELS[self.color_type]

    @property
    def mode(self) -> str:
        """The pixel format in words, such as "16-bit RGB"."""
        return f"{self.bit_depth}-bit {_COLOR_NAMES[self.color_type]}"


def _parse_ihdr(data: bytes) -> PngHeader:
    width, height, bit_depth, color_type, compression, filtering, interlace = struct.unpack(">IIBBBBB", data)
    if width == 0 or height == 0 or width > 0x7FFFFFFF or height > 0x7FFFFFFF:
        raise PngError(f"states an impossible size of {width}x{height} px")
    if bit_depth not in _ALLOWED_BIT_DEPTHS.get(color_type, ()):
        raise PngError(f"states an impossible pixel format (colour type {color_type}, {bit_depth} bits)")
    if compression or filtering or interlace > 1:
        raise PngError("states an unknown compression, filter or interlace method")
    return PngHeader(width, height, bit_depth, color_type, bool(interlace))


def _exif_orientation(exif: bytes) -> int:
    """The orientation that an eXIf chunk states (CIPA DC-008: TIFF header, first directory), 1 where it states none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is not None:
            (at,) = struct.unpack_from(order + "I", exif, 4)
            (count,) = struct.unpack_from(order + "H", exif, at)
            for entry in range(at + 2, at + 2 + 12 * count, 12):
                tag, _, _, value = struct.unpack_from(order + "HHIH", exif, entry)
                if tag == _ORIENTATION_TAG:
                    return value if 1 <= value <= 8 else 1
    except struct.error:  # damaged, and of no consequence
        pass
    return 1


def _describe_other(start: bytes) -> str:
    for pattern, what in _OTHER_FORMATS:
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return f"is not a PNG but {what}" if not what.startswith("filled") else f"is {what}"
    return f"is not a PNG (it begins with {start[:8].hex(' ')})"


def read_png_header(stream: BinaryIO) -> PngHeader:
    """Read the signature and IHDR alone, from the stream's start: what can be known before reading on.

    Raises PngError, or its PngIncomplete where the bytes end too early.
    """
    start = stream.read(len(PNG_SIGNATURE))
    if not start:
        raise PngIncomplete("is empty (0 bytes)")
    if start != PNG_SIGNATURE:
        if PNG_SIGNATURE.startswith(start):
            raise PngIncomplete(f"is truncated: it ends after {len(start)} bytes")
        raise PngError(_describe_other(start + stream.read(256)))
    head = stream.read(8 + 13 + 4)
    if len(head) < 25:
        raise PngIncomplete(f"is truncated: it ends after {len(start) + len(head)} bytes")
    length, kind = struct.unpack(">I4s", head[:8])
    if kind != b"IHDR" or length != 13:
        raise PngError("is damaged: it does not begin with an IHDR chunk")
    if zlib.crc32(head[4:21]) != struct.unpack(">I", head[21:])[0]:
        raise PngError("is damaged: the checksum of its IHDR chunk (at byte 8) is wrong")
    return _parse_ihdr(head[8:21])


def check_png(stream: BinaryIO) -> PngHeader:
    """Read a PNG to its end, checking its structure and every chunk's CRC, without decoding it or holding it.

    Raises PngError, or its PngIncomplete where the bytes end before IEND.
    """
    header = read_png_header(stream)
    position = len(PNG_SIGNATURE) + 25
    counts: dict[bytes, int] = {}
    found: dict[bytes, bytes] = {}
    last = b"IHDR"

    def read(size: int) -> bytes:
        nonlocal position
        piece = stream.read(size)
        position += len(piece)
        if len(piece) < size:
            raise PngIncomplete(f"is truncated: it ends after {position} bytes, without the PNG end marker (IEND)")
        return piece

    while last != b"IEND":
        at = position
        length, kind = struct.unpack(">I4s", read(8))
        if not (kind.isalpha() and kind.isascii()) or length > 0x7FFFFFFF:
            raise PngError(f"is damaged: no chunk begins at byte {at} (the file may be cut or overwritten)")
        name = kind.decode("ascii")
        crc, left, whole = zlib.crc32(kind), length, b""
        while left:
            piece = read(min(left, _CHUNK_PIECE))
            crc = zlib.crc32(piece, crc)
            if kind in _KEPT_WHOLE and len(whole) < _CHUNK_PIECE:
                whole += piece
            left -= len(piece)
        if crc != struct.unpack(">I", read(4))[0]:
            raise PngError(f"is damaged: the checksum of its {name} chunk (at byte {at}) is wrong")
        if kind == b"IDAT" and counts.get(kind) and last != b"IDAT":
            raise PngError("is damaged: its image data is not in one piece")
        if (kind in (b"IHDR", b"PLTE") and counts.get(kind)) or kind == b"IHDR":
            raise PngError(f"is damaged: it holds two {name} chunks")
        if kind == b"IEND" and length:
            raise PngError("is damaged: its end marker (IEND) is not empty")
        if kind[0] & 0x20 == 0 and kind not in (b"PLTE", b"IDAT", b"IEND"):
            raise PngError(f"holds a {name} chunk, which this program does not know but is marked as indispensable")
        counts[kind] = counts.get(kind, 0) + 1
        found.setdefault(kind, whole)
        last = kind
    if not counts.get(b"IDAT"):
        raise PngError("is damaged: it holds no image data (IDAT)")
    if header.color_type == 3 and not counts.get(b"PLTE"):
        raise PngError("is damaged: it is a palette image without a palette (PLTE)")
    trailing = 0
    while piece := stream.read(_CHUNK_PIECE):
        trailing += len(piece)
    gamma, animation = found.get(b"gAMA", b""), found.get(b"acTL", b"")
    return PngHeader(
        width=header.width,
        height=header.height,
        bit_depth=header.bit_depth,
        color_type=header.color_type,
        interlaced=header.interlaced,
        gamma=struct.unpack(">I", gamma)[0] / 100_000 if len(gamma) == 4 else None,
        has_icc_profile=b"iCCP" in counts or found.get(b"cICP", _SRGB_CODE_POINTS) != _SRGB_CODE_POINTS,
        has_transparency=b"tRNS" in counts or header.color_type in (4, 6),
        frames=max(1, struct.unpack(">II", animation)[0]) if len(animation) == 8 else 1,
        trailing_bytes=trailing,
        orientation=_exif_orientation(found.get(b"eXIf", b"")),
    )
