"""One file: read within the limits, checked chunk by chunk, decoded; what had to be converted is said."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from config.bundle_layout import PNG_SIGNATURE, PngError, PngHeader, check_png, read_png_header
from config.errors import FileTooLarge, InvalidFileFormat, MemoryExhausted, ShareUnavailable, ValidationFailed
from config.problems import Problem
from config.sections import MEGABYTE, Limits
from engine.bundle.find import ImageFile, owner_and_mode
from engine.bundle.problems import ProblemError

_KEPT_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_SRGB_GAMMA = 0.45455
_EXPORT_RGB = "Export it again as an 8-bit RGB or RGBA PNG."
_EXPORT_DEPTH = "Export it again as an 8- or 16-bit grayscale PNG."


@dataclass(frozen=True, eq=False)
class Checked:
    """A file whose bytes were read and whose chunks are sound. sha256: of the whole file."""

    file: ImageFile
    data: bytes
    header: PngHeader
    sha256: str


@dataclass(frozen=True, eq=False)
class Decoded:
    """pixels: [H, W, 3] uint8 of a view or [h, w] uint16 codes of a depth render. alpha: [H, W] uint8 or None.

    code_max: of a depth render, 255 or 65535. notes: what was converted, sentences that begin with the file.
    """

    pixels: NDArray[Any]
    alpha: NDArray[np.uint8] | None
    code_max: int
    notes: tuple[str, ...]


def file_size(file: ImageFile) -> int:
    """Bytes of a file, 0 where that can't be told."""
    try:
        return file.path.lstat().st_size
    except OSError:
        return 0


def check_size(file: ImageFile, limits: Limits) -> Problem | None:
    """Whether the file may be read at all."""
    size = file_size(file)
    if size > limits.file_mb * MEGABYTE:
        return _too_heavy(file, size, limits)
    return None


def _too_heavy(file: ImageFile, size: int, limits: Limits) -> Problem:
    return Problem(FileTooLarge, file.name, f"is {size / MEGABYTE:.1f} MB; at most {limits.file_mb:g} MB are taken")


def read_checked(file: ImageFile, limits: Limits) -> Checked:
    """Read a file and check its header, then its chunks.

    Raises ProblemError with FileTooLarge, InvalidFileFormat or ValidationFailed; ShareUnavailable for a file that
    can't be read.
    """
    try:
        descriptor = os.open(file.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as stream:
            data = stream.read(int(limits.file_mb * MEGABYTE) + 1)
    except PermissionError as error:
        raise ShareUnavailable(
            f"{file.name} can't be read: {owner_and_mode(file.path)}.",
            suggestion="Give this user the right to read the file.",
            file=file.name,
        ) from error
    except OSError as error:
        raise ShareUnavailable(f"{file.name} can't be read: {error.strerror}.", file=file.name) from error
    if len(data) > limits.file_mb * MEGABYTE:
        raise ProblemError(_too_heavy(file, len(data), limits))
    try:
        check_dimensions(file, read_png_header(io.BytesIO(data)), limits)
        header = check_png(io.BytesIO(data))
    except PngError as error:
        other = str(error).startswith("is not a PNG but")
        advice = "Export it again as PNG; renaming is not enough." if other else "Copy or export the file again."
        raise ProblemError(Problem(InvalidFileFormat, file.name, str(error), advice)) from None
    return Checked(file, data, header, hashlib.sha256(data).hexdigest())


def check_dimensions(file: ImageFile, header: PngHeader, limits: Limits) -> None:
    """Check the size that IHDR states, before anything is decoded; raises ProblemError."""
    size = f"{header.width}x{header.height} px"
    largest, smallest = limits.max_size_px, limits.min_size_px
    if max(header.width, header.height) > largest:
        raise ProblemError(Problem(FileTooLarge, file.name, f"states {size}; at most {largest}x{largest} px are taken"))
    if header.width != header.height:
        advice = "Render or pad the image to a square, with the object's axis in the centre."
        raise ProblemError(Problem(ValidationFailed, file.name, f"is {size}, not square", advice))
    if header.width < smallest:
        advice = f"Render it at {smallest}x{smallest} px or more; 1024x1024 is a good size."
        message = f"is {size}; at least {smallest}x{smallest} px are needed"
        raise ProblemError(Problem(ValidationFailed, file.name, message, advice))


def decode(checked: Checked) -> Decoded:
    """Decode a checked file as what its folder says that it is; raises ProblemError with InvalidFileFormat."""
    return decode_depth(checked) if checked.file.folder == "depth_renders" else decode_rgb(checked)


def _essential(data: bytes) -> bytes:
    """The PNG without its ancillary chunks: text, profiles, animation frames and whatever else could trip a reader."""
    pieces, at = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in _KEPT_CHUNKS:
            pieces.append(data[at : at + 12 + length])
        at += 12 + length
        if kind == b"IEND":
            break
    return b"".join(pieces)


def _open(checked: Checked) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(_essential(checked.data)), formats=("PNG",))
        image.load()
    except MemoryError as error:
        raise MemoryExhausted(f"{checked.file.name}: there is too little memory to decode it.") from error
    except Exception as error:  # Pillow raises a dozen kinds on hostile files
        reason = str(error) or type(error).__name__
        message = f"is damaged: its image data can't be decoded ({reason})"
        problem = Problem(InvalidFileFormat, checked.file.name, message, "Copy or export the file again.")
        raise ProblemError(problem) from error
    return image


def _common_notes(checked: Checked) -> list[str]:
    header, name = checked.header, checked.file.name
    notes = []
    if header.frames > 1:
        notes.append(f"{name} is animated ({header.frames} frames); its still image was taken.")
    if header.orientation != 1:
        turned = f"states that it is to be turned or flipped for showing (EXIF orientation {header.orientation})"
        notes.append(f"{name} {turned}; its pixels were taken as they are stored.")
    if header.trailing_bytes:
        notes.append(f"{name} has {header.trailing_bytes} bytes after its end; they were ignored.")
    return notes


def _unsupported(checked: Checked, what: str, advice: str) -> ProblemError:
    return ProblemError(Problem(InvalidFileFormat, checked.file.name, what, advice))


def decode_rgb(checked: Checked) -> Decoded:
    """A view, as 8-bit sRGB with alpha where it has one that is not opaque everywhere."""
    header, name, notes = checked.header, checked.file.name, _common_notes(checked)
    image = _open(checked)
    if header.has_icc_profile:
        notes.append(f"{name} carries a colour profile; its values were taken as sRGB.")
    elif header.gamma is not None and abs(header.gamma - _SRGB_GAMMA) > 0.01:
        notes.append(f"{name} states a gamma of {header.gamma:.5f}; its values were taken as sRGB.")
    transparent = header.has_transparency
    if header.bit_depth == 16:
        notes.append(f"{name} is {header.mode}; the upper 8 bits of each channel were taken.")
        if header.color_type in (0, 2) and transparent:
            notes.append(f"{name} marks one 16-bit colour as transparent; that was ignored.")
            transparent = False
    elif header.color_type in (0, 3, 4):
        notes.append(f"{name} is {header.mode}; it was converted to RGB{'A' if transparent else ''}.")
    if header.bit_depth == 16 and header.color_type == 0:
        gray = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return Decoded(np.repeat(gray[:, :, None], 3, 2), None, 255, tuple(notes))
    if not transparent:
        pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        return Decoded(np.ascontiguousarray(pixels), None, 255, tuple(notes))
    rgba = np.asarray(image if image.mode == "RGBA" else image.convert("RGBA"))
    alpha: NDArray[np.uint8] | None = np.ascontiguousarray(rgba[:, :, 3])
    if alpha is not None and alpha.min() == 255:
        alpha = None
    return Decoded(np.ascontiguousarray(rgba[:, :, :3]), alpha, 255, tuple(notes))


def decode_depth(checked: Checked) -> Decoded:
    """A depth render, as raw codes; an alpha channel marks the background."""
    header, name, notes = checked.header, checked.file.name, _common_notes(checked)
    if header.bit_depth < 8 and header.color_type == 0:
        what = f"is {header.mode}: {2**header.bit_depth} levels are too few for depth"
        raise _unsupported(checked, what, _EXPORT_DEPTH)
    if header.bit_depth == 16 and header.color_type != 0:
        raise _unsupported(checked, f"is {header.mode}; depth is taken in one channel", _EXPORT_DEPTH)
    image = _open(checked)
    if header.color_type == 0:
        if header.has_transparency:
            notes.append(f"{name} marks one gray level as transparent; that was ignored.")
        code = np.ascontiguousarray(np.asarray(image), np.uint16)
        return Decoded(code, None, 65535 if header.bit_depth == 16 else 255, tuple(notes))
    rgba = np.asarray(image.convert("RGBA"))
    spread = int(np.ptp(rgba[:, :, :3], axis=2).max())
    if spread:
        what = f"is a colour image ({header.mode}; its channels differ by up to {spread})"
        raise _unsupported(checked, what, _EXPORT_DEPTH + " False colours can't be turned back into depth.")
    code = rgba[:, :, 0].astype(np.uint16)
    hidden = rgba[:, :, 3] < 128
    if header.color_type != 4:
        notes.append(f"{name} is {header.mode} with equal channels; it was converted to grayscale.")
    if hidden.any():
        code[hidden] = 0
        notes.append(f"{name} has an alpha channel; what is transparent was taken as background.")
    return Decoded(code, None, 255, tuple(notes))
