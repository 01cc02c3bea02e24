import io
import zlib

import numpy as np
import pytest
from bundle_files import chunk, depth, png, view
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from config.bundle_layout import PngError, PngIncomplete, check_png, is_junk, is_temporary, name_key
from config.errors import MeshdropError
from config.sections import Limits
from engine.bundle.decode import decode, read_checked
from engine.bundle.find import ImageFile
from engine.bundle.problems import ProblemError


def _valid(interlaced: bool = False) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(view(3, 32)).save(buffer, "PNG")
    return buffer.getvalue() if not interlaced else _interlaced()


def _interlaced() -> bytes:
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    image = view(3, 32)
    rows = b"".join(b"".join(b"\0" + line.tobytes() for line in image[y::dy, x::dx]) for x, y, dx, dy in passes)
    return png(32, 32, 8, 2, rows, interlace=1)


VALID = _valid()


def _decode(tmp_path_factory: pytest.TempPathFactory, data: bytes, folder: str = "multi_views") -> np.ndarray:
    path = tmp_path_factory.getbasetemp() / "any.png"
    path.write_bytes(data)
    file = ImageFile("front", folder, path, f"{folder}/front.png")
    return decode(read_checked(file, Limits(min_size_px=16))).pixels


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(VALID) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_read_as_pillow_does_or_refused(tmp_path_factory, at, bit):
    data = bytearray(VALID)
    data[at] ^= 1 << bit
    try:
        pixels = _decode(tmp_path_factory, bytes(data))
    except (ProblemError, MeshdropError):
        return
    assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB")))


@settings(max_examples=100, deadline=None)
@given(length=st.integers(0, len(VALID) - 1))
def test_a_truncated_file_is_incomplete(length):
    with pytest.raises(PngIncomplete, match="truncated|empty"):
        check_png(io.BytesIO(VALID[:length]))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data):
    for start in (b"", VALID[:8], VALID[:33]):
        with pytest.raises(PngError):
            check_png(io.BytesIO(start + data))


def test_a_valid_file_passes_and_says_what_it_is(tmp_path_factory):
    header = check_png(io.BytesIO(VALID))
    assert (header.width, header.height, header.mode, header.frames) == (32, 32, "8-bit RGB", 1)
    assert np.array_equal(_decode(tmp_path_factory, VALID), view(3, 32))


def test_interlaced_is_read(tmp_path_factory):
    assert np.array_equal(_decode(tmp_path_factory, _valid(interlaced=True)), view(3, 32))


def test_hostile_ancillary_chunks_do_not_reach_the_decoder(tmp_path_factory):
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 50_000_000, 9))
    profile = chunk(b"iCCP", b"x\0\0not zlib at all")
    data = VALID[:33] + bomb + profile + VALID[33:]
    assert np.array_equal(_decode(tmp_path_factory, data), view(3, 32))


def test_image_data_that_lies_is_refused(tmp_path_factory):
    for rows in (b"", b"\0" * 10, b"\7" * (32 * 97)):
        with pytest.raises(ProblemError, match="decoded"):
            _decode(tmp_path_factory, png(32, 32, 8, 2, rows))


@pytest.mark.parametrize(
    ("start", "word"),
    [(b"\xff\xd8\xff\xe0", "JPEG"), (b"RIFF0000WEBPVP8 ", "WebP"), (b"<!DOCTYPE html>", "HTML"), (bytes(100), "zeros")],
)
def test_other_formats_are_named(start, word):
    with pytest.raises(PngError, match=word):
        check_png(io.BytesIO(start))


def test_depth_keeps_sixteen_bits(tmp_path_factory):
    code = depth(size=32).astype(np.uint16) * 257 + 1
    buffer = io.BytesIO()
    Image.fromarray(code).save(buffer, "PNG")
    assert np.array_equal(_decode(tmp_path_factory, buffer.getvalue(), "depth_renders"), code)


def test_names():
    assert name_key("FRONT.PNG") == name_key("front.png")
    assert name_key("é") == name_key("e\u0301")
    assert is_junk("._front.png")
    assert is_junk(".DS_Store")
    assert is_junk("Thumbs.db")
    assert not is_junk("front.png")
    assert is_temporary("front.png.part")
    assert is_temporary(".syncthing.front.png.tmp")
    assert not is_temporary("front.png")
