import io
import os
import struct
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bundle_files import SIZE, VIEWS, chunk, depth, png, png_of, view, write_bundle
from PIL import Image

from config.errors import FileTooLarge, InvalidFileCount, InvalidFileFormat, ShareUnavailable, ValidationFailed
from config.job import JobOptions
from config.sections import Limits
from engine.bundle import load_bundle, load_job_options
from engine.bundle.hints import depth_hints


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "red shoe, größe 42")


def test_a_sound_bundle(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    assert loaded.rgb_size_px == loaded.depth_size_px == SIZE
    assert loaded.depth_code_max == 255
    assert loaded.notes == ()
    assert loaded.options == JobOptions()
    assert sorted(loaded.sha256) == sorted(f"{d}/{v}.png" for d in ("multi_views", "depth_renders") for v in VIEWS)
    for k, name in enumerate(VIEWS):
        assert np.array_equal(loaded.rgb[name], view(k))
        assert np.array_equal(loaded.depth[name], depth(k))
        assert loaded.alpha[name] is None


def test_names_in_any_case_wrapped_and_with_leftovers(bundle: Path, tmp_path: Path) -> None:
    (bundle / "multi_views" / "front.png").rename(bundle / "multi_views" / "FRONT.Png")
    (bundle / "depth_renders").rename(bundle / "Depth_Renders")
    (bundle / "multi_views" / "._front.png").write_bytes(b"junk")
    (bundle / "multi_views" / "Thumbs.db").write_bytes(b"junk")
    (bundle / "__MACOSX").mkdir()
    outer = tmp_path / unicodedata.normalize("NFD", "äußere") / "inner"
    outer.mkdir(parents=True)
    bundle.rename(outer / "b")
    loaded = load_bundle(outer.parent)
    assert loaded.path == outer / "b"
    assert "multi_views/front.png" in loaded.sha256


def _missing(b: Path) -> None:
    (b / "multi_views" / "top.png").unlink()
    (b / "depth_renders" / "left.png").unlink()
    (b / "depth_renders" / "right.png").unlink()


def _extra(b: Path) -> None:
    (b / "multi_views" / "front (1).png").write_bytes(b"")


def _collision(b: Path) -> None:
    (b / "multi_views" / "Front.png").write_bytes(b"")


def _unfinished(b: Path) -> None:
    (b / "multi_views" / "top.png.part").write_bytes(b"")


def _jpeg(b: Path) -> None:
    (b / "multi_views" / "top.png").rename(b / "multi_views" / "top.jpg")


def _no_folder(b: Path) -> None:
    (b / "depth_renders").rename(b / "depths")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_missing, ["multi_views lacks a view: top.png", "lacks 2 of 6 views: left.png, right.png"]),
        (_extra, ["front (1).png is not one of the six"]),
        (_collision, ["Front.png and front.png"]),
        (_unfinished, ["top.png.part is a file that is still being copied"]),
        (_jpeg, ["lacks a view: top.png (there is top.jpg)"]),
        (_no_folder, ["no folder depth_renders (there is depths)"]),
    ],
)
def test_counts(bundle: Path, spoil: Callable[[Path], None], words: list[str]) -> None:
    spoil(bundle)
    with pytest.raises(InvalidFileCount) as caught:
        load_bundle(bundle)
    for word in words:
        assert word in caught.value.message
    assert caught.value.suggestion


def test_not_a_bundle(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(ValidationFailed, match="does not exist"):
        load_bundle(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValidationFailed, match="not a folder"):
        load_bundle(tmp_path / "file")
    with pytest.raises(InvalidFileCount, match="holds no multi_views") as caught:
        load_bundle(bundle / "multi_views")
    assert "folder above" in caught.value.suggestion


def test_links_and_folders_are_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "multi_views" / "top.png").rename(tmp_path / "top.png")
    (bundle / "multi_views" / "top.png").symlink_to(tmp_path / "top.png")
    (bundle / "multi_views" / "left.png").unlink()
    (bundle / "multi_views" / "left.png").mkdir()
    with pytest.raises(InvalidFileFormat, match=r"left.png is a folder.*top.png is a link"):
        load_bundle(bundle)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(bundle: Path) -> None:
    (bundle / "multi_views" / "top.png").chmod(0)
    with pytest.raises(ShareUnavailable, match="owner .* mode 0000"):
        load_bundle(bundle)


def _bad_crc(data: bytes) -> bytes:
    out = bytearray(data)
    out[-20] ^= 1
    return bytes(out)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda data: b"", "0 bytes"),
        (lambda data: data[: len(data) // 2], "truncated"),
        (_bad_crc, "checksum of its IDAT"),
        (lambda data: b"\xff\xd8\xff\xe0" + data, "JPEG"),
    ],
)
def test_damaged_files_are_all_named(bundle: Path, change: Callable[[bytes], bytes], word: str) -> None:
    for name in ("multi_views/back.png", "depth_renders/top.png"):
        (bundle / name).write_bytes(change((bundle / name).read_bytes()))
    with pytest.raises(InvalidFileFormat, match=word) as caught:
        load_bundle(bundle)
    assert caught.value.details["files"] == ["multi_views/back.png", "depth_renders/top.png"]


def test_a_huge_header_is_refused_before_decoding(bundle: Path) -> None:
    (bundle / "multi_views" / "top.png").write_bytes(png(50_000, 50_000, 8, 2, b"\0" * 100))
    with pytest.raises(FileTooLarge, match=r"multi_views/top.png states 50000x50000 px; at most 8192x8192"):
        load_bundle(bundle)


def test_heavy_files_and_bundles(bundle: Path) -> None:
    with pytest.raises(FileTooLarge, match="at most 0.01 MB"):
        load_bundle(bundle, limits=Limits(file_mb=0.01))
    with pytest.raises(FileTooLarge, match="the twelve|The twelve"):
        load_bundle(bundle, limits=Limits(bundle_mb=0.1))


def test_shapes(bundle: Path) -> None:
    Image.fromarray(view()[:200]).save(bundle / "multi_views" / "top.png")
    with pytest.raises(ValidationFailed, match="top.png is 256x200 px, not square"):
        load_bundle(bundle)
    Image.fromarray(view(size=300)).save(bundle / "multi_views" / "top.png")
    with pytest.raises(ValidationFailed, match="top.png is 300x300 px, the others of its folder 256x256"):
        load_bundle(bundle)
    Image.fromarray(view(size=128)).save(bundle / "multi_views" / "top.png")
    with pytest.raises(ValidationFailed, match="at least 256x256"):
        load_bundle(bundle)


def test_rgb_and_depth_may_differ_in_size(bundle: Path) -> None:
    for k, name in enumerate(VIEWS):
        Image.fromarray(view(k, 300)).save(bundle / "multi_views" / f"{name}.png")
    loaded = load_bundle(bundle)
    assert (loaded.rgb_size_px, loaded.depth_size_px) == (300, 256)


def test_pixel_formats_of_views(bundle: Path) -> None:
    folder = bundle / "multi_views"
    image = view(0)
    gray = image[..., 1]
    alpha = np.where(gray < 255, 200, 0).astype(np.uint8)
    Image.fromarray(gray).save(folder / "front.png")
    (folder / "back.png").write_bytes(png_of(image.astype(np.uint16) * 257, 2))
    Image.fromarray(np.dstack([gray, alpha]), "LA").save(folder / "left.png")
    Image.fromarray(image).quantize(16).save(folder / "right.png")
    Image.fromarray(np.dstack([image, alpha])).save(folder / "top.png")
    Image.fromarray(np.dstack([image, np.full_like(gray, 255)])).save(folder / "bottom.png")
    loaded = load_bundle(bundle)
    assert np.array_equal(loaded.rgb["front"], np.repeat(gray[..., None], 3, 2))
    assert np.array_equal(loaded.rgb["back"], image)
    assert np.array_equal(loaded.alpha["left"], alpha)
    assert np.array_equal(loaded.alpha["top"], alpha)
    assert loaded.alpha["bottom"] is None
    notes = " ".join(loaded.notes)
    for word in ("front.png is 8-bit grayscale", "back.png is 16-bit RGB", "grayscale with alpha", "palette"):
        assert word in notes
    assert "top.png" not in notes


def test_profiles_gamma_and_animation_are_noted(bundle: Path) -> None:
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(b"profile"))
    animation = chunk(b"acTL", struct.pack(">II", 3, 0))
    (bundle / "multi_views" / "front.png").write_bytes(png_of(view(0), 2, gamma))
    (bundle / "multi_views" / "back.png").write_bytes(png_of(view(1), 2, profile))
    (bundle / "multi_views" / "left.png").write_bytes(png_of(view(2), 2, animation) + b"tail")
    notes = " ".join(load_bundle(bundle).notes)
    for word in ("gamma of 1.0", "colour profile", "animated (3 frames)", "4 bytes after its end"):
        assert word in notes


def test_depth_formats(bundle: Path) -> None:
    code = depth(0)
    Image.fromarray(np.dstack([code] * 3)).save(bundle / "depth_renders" / "front.png")
    loaded = load_bundle(bundle)
    assert np.array_equal(loaded.depth["front"], code)
    assert "equal channels" in loaded.notes[0]
    colours = np.dstack([code, code, np.where(code > 200, code - 9, code)]).astype(np.uint8)
    Image.fromarray(colours).save(bundle / "depth_renders" / "front.png")
    with pytest.raises(InvalidFileFormat, match="channels differ by up to 9"):
        load_bundle(bundle)
    Image.fromarray(code > 0).save(bundle / "depth_renders" / "front.png")
    with pytest.raises(InvalidFileFormat, match="2 levels are too few"):
        load_bundle(bundle)
    (bundle / "depth_renders" / "front.png").write_bytes(png_of(np.dstack([code] * 3).astype(np.uint16), 2))
    with pytest.raises(InvalidFileFormat, match="16-bit RGB; depth is taken in one channel"):
        load_bundle(bundle)


def _write_depth(bundle: Path, convert: Callable[[np.ndarray], np.ndarray]) -> None:
    for k, name in enumerate(VIEWS):
        Image.fromarray(convert(depth(k))).save(bundle / "depth_renders" / f"{name}.png")


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_eight_bits_stored_in_sixteen(bundle: Path, factor: int) -> None:
    _write_depth(bundle, lambda code: code.astype(np.uint16) * factor)
    loaded = load_bundle(bundle)
    assert loaded.depth_code_max == 255
    assert np.array_equal(loaded.depth["top"], depth(4))
    assert "stored in 16 bits" in loaded.notes[0]


def test_sixteen_bits(bundle: Path) -> None:
    _write_depth(bundle, lambda code: code.astype(np.uint16) * 250 + (code > 0))
    loaded = load_bundle(bundle)
    assert loaded.depth_code_max == 65535
    assert loaded.notes == ()
    Image.fromarray(depth()).save(bundle / "depth_renders" / "top.png")
    with pytest.raises(ValidationFailed, match="mixes 8- and 16-bit"):
        load_bundle(bundle)


def test_a_white_background_of_depth_is_taken_as_background(bundle: Path) -> None:
    _write_depth(bundle, lambda code: np.where(code == 0, 255, np.where(code > 200, 0, code)).astype(np.uint8))
    loaded = load_bundle(bundle)
    assert "highest code, 255" in loaded.notes[0]
    assert "are lost" in loaded.depth_hints[0]
    assert loaded.depth["front"][0, 0] == 0
    object_px = depth(0) > 0
    assert np.array_equal(loaded.depth["front"] > 0, object_px)


@pytest.mark.parametrize(
    ("convert", "word"),
    [
        (lambda code: code * 0, "is empty: every pixel has code 0"),
        (lambda code: code * 0 + 90, "is constant: every pixel has code 90"),
        (lambda code: code * 0 + 255, "is saturated: every pixel has the highest code"),
        (lambda code: np.where(code == 0, 37, code).astype(np.uint8), "code 37 as its background"),
        (lambda code: np.where(np.indices(code.shape).sum(0) < 3, 9, 0).astype(np.uint8), "shows nothing: 6 pixels"),
    ],
)
def test_depth_that_is_none(bundle: Path, convert: Callable[[np.ndarray], np.ndarray], word: str) -> None:
    Image.fromarray(convert(depth())).save(bundle / "depth_renders" / "top.png")
    with pytest.raises(ValidationFailed, match=word) as caught:
        load_bundle(bundle)
    assert caught.value.details["files"] == ["depth_renders/top.png"]


def test_masks_instead_of_depth(bundle: Path) -> None:
    _write_depth(bundle, lambda code: np.where(code > 0, 200, 0).astype(np.uint8))
    with pytest.raises(ValidationFailed, match="as in a mask"):
        load_bundle(bundle)
    given = JobOptions.model_validate({"cameras": {"fov_deg": 40.0}, "depth": {"far": 2.0}})
    assert load_bundle(bundle, given).options == given


def test_saturated_depth(bundle: Path) -> None:
    _write_depth(bundle, lambda code: np.where(code > 175, 255, code).astype(np.uint8))
    with pytest.raises(ValidationFailed, match="is saturated: more than 60%"):
        load_bundle(bundle)


def test_blank_views_and_empty_alpha(bundle: Path) -> None:
    Image.fromarray(np.full((SIZE, SIZE, 3), 250, np.uint8)).save(bundle / "multi_views" / "top.png")
    transparent = np.dstack([view(), np.zeros((SIZE, SIZE), np.uint8)])
    Image.fromarray(transparent).save(bundle / "multi_views" / "left.png")
    with pytest.raises(ValidationFailed, match=r"left.png shows nothing.*top.png is blank: one colour"):
        load_bundle(bundle)


def test_the_first_kind_of_problem_is_raised(bundle: Path) -> None:
    Image.fromarray(view()[:200]).save(bundle / "multi_views" / "left.png")
    (bundle / "multi_views" / "top.png").write_bytes(b"x")
    (bundle / "job.toml").write_text("qualty = 1")
    with pytest.raises(InvalidFileFormat):
        load_bundle(bundle)
    Image.fromarray(view()).save(bundle / "multi_views" / "top.png")
    with pytest.raises(ValidationFailed) as caught:
        load_bundle(bundle)
    assert "not square" in caught.value.message
    assert "did you mean quality?" in caught.value.message


def test_job_toml(bundle: Path) -> None:
    (bundle / "job.toml.txt").write_bytes(b"\xef\xbb\xbf" + b'quality = "high"\n')
    assert load_bundle(bundle).options.quality == "high"
    assert load_job_options(bundle).quality == "high"
    assert load_bundle(bundle, JobOptions()).options.quality == "standard"
    (bundle / "job.toml").write_text("")
    with pytest.raises(InvalidFileCount, match="both there"):
        load_bundle(bundle)


def test_twins_are_noted(bundle: Path) -> None:
    (bundle / "multi_views" / "back.png").write_bytes((bundle / "multi_views" / "front.png").read_bytes())
    assert load_bundle(bundle).notes == ("multi_views: back.png and front.png are the same image.",)


def test_a_renamed_jpeg_is_told_that_renaming_is_not_enough(bundle: Path) -> None:
    Image.fromarray(view()).save(bundle / "multi_views" / "front.png", "JPEG")
    with pytest.raises(InvalidFileFormat, match="not a PNG but a JPEG") as caught:
        load_bundle(bundle)
    assert "renaming is not enough" in (caught.value.suggestion or "")


def test_files_with_the_same_fault_share_a_sentence(bundle: Path) -> None:
    for name in ("front", "top"):
        Image.fromarray(view()[:200]).save(bundle / "multi_views" / f"{name}.png")
    with pytest.raises(ValidationFailed) as caught:
        load_bundle(bundle)
    assert caught.value.message == "multi_views/front.png, multi_views/top.png: each is 256x200 px, not square."


@pytest.mark.parametrize(("order", "start"), [("<", b"II*\0"), (">", b"MM\0*")])
def test_a_stated_rotation_is_noted_and_not_applied(bundle: Path, order: str, start: bytes) -> None:
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, 6, 0)
    exif = start + struct.pack(order + "IH", 8, 1) + entry + bytes(4)
    (bundle / "multi_views" / "front.png").write_bytes(png_of(view(0), 2, chunk(b"eXIf", exif)))
    (bundle / "multi_views" / "top.png").write_bytes(png_of(view(4), 2, chunk(b"eXIf", exif[:14])))
    loaded = load_bundle(bundle)
    assert [note.partition(";")[0] for note in loaded.notes] == [
        "multi_views/front.png states that it is to be turned or flipped for showing (EXIF orientation 6)"
    ]
    assert np.array_equal(loaded.rgb["front"], view(0))


def test_wide_gamuts_stated_by_code_points_are_noted(bundle: Path) -> None:
    (bundle / "multi_views" / "front.png").write_bytes(png_of(view(0), 2, chunk(b"cICP", b"\x0c\x0d\0\x01")))
    (bundle / "multi_views" / "top.png").write_bytes(png_of(view(4), 2, chunk(b"cICP", b"\x01\x0d\0\x01")))
    assert load_bundle(bundle).notes == (
        "multi_views/front.png carries a colour profile; its values were taken as sRGB.",
    )


def _jpeg_codes(code: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(code).save(buffer, "JPEG", quality=90)
    return np.asarray(Image.open(buffer))


@pytest.mark.parametrize(
    ("convert", "word"),
    [
        (lambda code: code, ""),
        (_jpeg_codes, "JPEG compression"),
        (lambda code: np.asarray(Image.fromarray(code).resize((512, 512), Image.Resampling.BILINEAR)), "interpolation"),
        (lambda code: np.roll(code, SIZE // 4, 1), "touches the frame"),
        (lambda code: np.pad(code[::6, ::6], 106), "spans 21 of 255 pixels"),
    ],
)
def test_what_may_mislead_is_said(convert: Callable[[np.ndarray], np.ndarray], word: str) -> None:
    codes = {name: convert(slanted_disc(k)).astype(np.uint16) for k, name in enumerate(VIEWS)}
    hints = depth_hints(codes, 255, {name: f"depth_renders/{name}.png" for name in VIEWS})
    assert len(hints) == bool(word)
    assert word in "".join(hints)


def slanted_disc(seed: int) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    return np.where(x * x + y * y < (SIZE / 4) ** 2, 180 + seed + y / 2, 0).astype(np.uint8)
