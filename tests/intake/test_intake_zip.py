"""Zips of every hostile kind: refused by what they are, in little time and memory."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import InputError
from config.sections import Limits
from daemon.files import Files
from daemon.intake.archive_reader import extract
from daemon.intake.completeness import Content
from daemon.intake.content import check_content
from daemon.intake.layout import IMAGE_KEYS
from daemon.intake.snapshot import take_snapshot
from tests.intake.scene import contents, png, write_zip

LIMITS = Limits(min_size_px=16)


def check(path: Path, limits: Limits = LIMITS) -> Content:
    return check_content(path.parent, take_snapshot(path.parent, path.name, Files()), limits, Files(), 0.0)


def code(content: Content) -> str:
    assert content.error is not None
    return content.error.code


def with_info(path: Path, edit: Callable[[zipfile.ZipInfo], None], name: str = "multi_views/front.png") -> Path:
    """A bundle's zip of which one entry is edited before it is written."""
    with zipfile.ZipFile(path, "w") as archive:
        for key, data in contents().items():
            info = zipfile.ZipInfo(key)
            if key == name:
                edit(info)
            archive.writestr(info, data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("root", ["", "shoe/", "from me/shoe/"])
def test_a_whole_zip_is_ok_and_extracts_to_the_same(tmp_path: Path, method: int, root: str) -> None:
    files = {**contents(), "job.toml": b"seed = 4\n"}
    path = write_zip(tmp_path / "x.zip", files, root=root, method=method)
    content = check(path)
    assert content.outcome == "ok"
    assert content.options == {"seed": 4}
    into = tmp_path / "into"
    into.mkdir()
    extracted = extract(path, into, LIMITS, Files())
    for key, data in files.items():
        assert (into / key).read_bytes() == data
        assert extracted[key].bytes == len(data) == content.sizes[key]
        assert extracted[key].sha256 == hashlib.sha256(data).hexdigest() == content.digests[key]


def test_other_separators_and_leftovers_are_fine(tmp_path: Path) -> None:
    files = {key.replace("/", "\\"): data for key, data in contents().items()}
    assert check(write_zip(tmp_path / "x.zip", files)).outcome == "ok"
    more = {**contents(), "__MACOSX/multi_views/._front.png": b"x", ".DS_Store": b"y", "notes/readme.md": b"z"}
    assert check(write_zip(tmp_path / "y.zip", more)).outcome == "ok"


@pytest.mark.parametrize("name", ["../evil.png", "/etc/passwd", "a/../../b", "C:/x.png", "a//b", "..\\evil.txt"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    content = check(write_zip(tmp_path / "x.zip", {**contents(), name: b"evil"}))
    assert (content.outcome, code(content)) == ("damaged", "VALIDATION_FAILED")
    assert "leads out of" in content.sentence


def test_nested_archives_are_refused(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip").read_bytes()
    content = check(write_zip(tmp_path / "x.zip", {"shoe.zip": inner}))
    assert (content.outcome, code(content)) == ("damaged", "VALIDATION_FAILED")
    assert "shoe.zip is an archive within the zip" in content.sentence


def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path) -> None:
    for mode, word in ((0o120777, "a link"), (0o010644, "a device, pipe or socket")):
        content = check(
            with_info(tmp_path / "x.zip", lambda info, mode=mode: setattr(info, "external_attr", mode << 16))
        )  # type: ignore[misc]
        assert code(content) == "VALIDATION_FAILED"
        assert word in content.sentence


def test_encrypted_zips_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip")
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 8] |= 1
        at = data.find(b"PK\x01\x02", at + 4)
    path.write_bytes(data)
    content = check(path)
    assert code(content) == "VALIDATION_FAILED"
    assert "is encrypted" in content.sentence
    assert content.error is not None
    assert "without a password" in content.error.suggestion


def test_a_method_that_is_not_taken_is_named(tmp_path: Path) -> None:
    content = check(write_zip(tmp_path / "x.zip", method=zipfile.ZIP_LZMA))
    assert code(content) == "VALIDATION_FAILED"
    assert "method" in content.sentence


def test_missing_extra_and_twin_views_are_refused_at_once(tmp_path: Path) -> None:
    files = contents()
    del files["depth_renders/top.png"]
    content = check(write_zip(tmp_path / "a.zip", files))
    assert code(content) == "INVALID_FILE_COUNT"
    assert content.sentence == "In the zip, depth_renders/top.png is missing."
    twins = check(write_zip(tmp_path / "b.zip", {**contents(), "multi_views/FRONT.png": png()}))
    assert code(twins) == "INVALID_FILE_COUNT"
    assert (
        code(check(write_zip(tmp_path / "c.zip", {**contents(), "multi_views/x.png": png()}))) == "INVALID_FILE_COUNT"
    )


def test_a_zip_of_several_bundles_says_so(tmp_path: Path) -> None:
    both = {f"{name}/{key}": data for name in ("a", "b") for key, data in contents().items()}
    content = check(write_zip(tmp_path / "x.zip", both))
    assert "holds several bundles (a, b)" in content.sentence


def test_something_else_called_zip_is_refused_and_half_a_zip_may_still_grow(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"Rar!\x1a\x07\x00" + bytes(100))
    assert code(check(tmp_path / "x.zip")) == "INVALID_FILE_FORMAT"
    data = write_zip(tmp_path / "y.zip").read_bytes()
    for length in (0, 3, 40, len(data) // 2, len(data) - 8):
        (tmp_path / "y.zip").write_bytes(data[:length])
        assert check(tmp_path / "y.zip").outcome == "unfinished", length
        (tmp_path / "y.zip").write_bytes(data[:length] + bytes(len(data) - length))
        assert check(tmp_path / "y.zip").outcome == "unfinished", length


def test_a_hole_in_a_zip_may_still_be_filled_and_a_bad_png_in_a_whole_zip_may_not(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", method=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    at = data.find(b"IDAT")
    data[at : at + 8] = bytes(8)
    path.write_bytes(data)
    assert check(path).outcome == "unfinished"
    bad = write_zip(tmp_path / "y.zip", {**contents(), "multi_views/front.png": png()[:-10]})
    assert (check(bad).outcome, code(check(bad))) == ("damaged", "INVALID_FILE_FORMAT")


def test_extract_refuses_what_the_check_refuses(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    for number, extra in enumerate([{"../evil.png": b"x"}, {"multi_views/x.png": png()}]):
        path = write_zip(tmp_path / f"{number}.zip", {**contents(), **extra})
        with pytest.raises(InputError):
            extract(path, into, LIMITS, Files())
    assert list(into.iterdir()) == []
    assert not (tmp_path / "evil.png").exists()


def bomb(path: Path, *, stated: int | None = None) -> Path:
    """Twelve views of zeros that inflate to 64 MB each; `stated` bytes are what the directory says they have."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
    piece = b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(64)) + squeeze.flush()
    size = 64 << 20 if stated is None else stated
    out, directory = io.BytesIO(), b""
    for key in IMAGE_KEYS:
        name, at = key.encode(), out.tell()
        common = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(piece), size, len(name), 0)
        out.write(b"PK\x03\x04" + common + name + piece)
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, at) + name
    at = out.tell()
    out.write(directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 12, 12, len(directory), at, 0))
    path.write_bytes(out.getvalue())
    return path


def crowded(path: Path) -> Path:
    """A million empty files' directory."""
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<HHHHHII", 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 1_000_000
    zip64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1_000_000, 1_000_000, len(directory), 0)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, len(directory), 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(directory + zip64 + locator + end)
    return path


_CHILD = """
import json, sys, time
from pathlib import Path
from config.sections import Limits
from daemon.files import Files
from daemon.intake.content import check_content
from daemon.intake.snapshot import take_snapshot
path, began_s = Path(sys.argv[1]), time.monotonic()
content = check_content(path.parent, take_snapshot(path.parent, path.name, Files()), Limits(), Files(), 0.0)
peak_kb = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps({"code": content.error and content.error.code, "outcome": content.outcome,
    "s": time.monotonic() - began_s, "mb": peak_kb / 1024}))
"""


def in_a_child(path: Path) -> dict[str, object]:
    """Check one entry in a process of its own: what came of it, its seconds and its largest memory."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path)], cwd=root, capture_output=True, timeout=60, check=True
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (bomb, ("damaged", "FILE_TOO_LARGE")),
        (lambda path: bomb(path, stated=1000), ("damaged", "INVALID_FILE_FORMAT")),
        (lambda path: bomb(path, stated=16 << 20), ("damaged", "INVALID_FILE_FORMAT")),
        (crowded, ("damaged", "VALIDATION_FAILED")),
        (lambda path: write_zip(path, {f"n{k}/x.zip": b"PK" for k in range(900)}), ("damaged", "VALIDATION_FAILED")),
    ],
    ids=["bomb", "lying-small", "lying-large", "crowded", "nested"],
)
def test_bombs_are_refused_within_5_s_and_256_mib(
    tmp_path: Path, make: Callable[[Path], Path], expected: tuple[str, str]
) -> None:
    told = in_a_child(make(tmp_path / "x.zip"))
    assert (told["outcome"], told["code"]) == expected
    assert float(str(told["s"])) <= 5
    assert float(str(told["mb"])) <= 256


def test_a_png_that_lies_of_its_size_is_refused_unread(tmp_path: Path) -> None:
    from tests.intake.scene import chunk, write_bundle

    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 65500, 65500, 8, 0, 0, 0, 0))
    huge += chunk(b"IDAT", zlib.compress(bytes(1 << 22), 9)) + chunk(b"IEND", b"")
    write_bundle(tmp_path / "x", more={"multi_views/front.png": huge})
    told = in_a_child(tmp_path / "x")
    assert (told["outcome"], told["code"]) == ("damaged", "FILE_TOO_LARGE")
    assert float(str(told["mb"])) <= 256


def test_limits_are_told_before_anything_is_read(tmp_path: Path) -> None:
    from tests.intake.scene import write_bundle

    write_bundle(tmp_path / "x", pad=60_000)
    limits = Limits(min_size_px=16, file_mb=0.05)
    content = check(tmp_path / "x", limits)
    assert code(content) == "FILE_TOO_LARGE"
    assert "at most 0.05 MB" in content.sentence
    whole = check(tmp_path / "x", Limits(min_size_px=16, bundle_mb=0.5))
    assert "twelve images are 0.7 MB" in whole.sentence


def test_sizes_that_differ_or_are_not_square_are_refused(tmp_path: Path) -> None:
    from tests.intake.scene import write_bundle

    write_bundle(tmp_path / "x", more={"multi_views/front.png": png(32), "depth_renders/top.png": png(16, height=20)})
    content = check(tmp_path / "x")
    assert code(content) == "VALIDATION_FAILED"
    assert "depth_renders/top.png is 16x20 px, not square" in content.sentence
    assert "multi_views/front.png is 32x32 px, most of its folder are 16x16" in content.sentence
