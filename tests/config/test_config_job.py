from pathlib import Path
from typing import Any

import pytest

from config.errors import MeshdropError, ValidationFailed, error_classes
from config.job import JobOptions, parse_job_options, read_job_options

IDENTITY = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1]]
MIRROR = [[-1.0, 0, 0, 0], *IDENTITY[1:]]
SHEAR = [[1.0, 0.5, 0, 0], *IDENTITY[1:]]


def test_defaults() -> None:
    assert parse_job_options({}) == JobOptions()


def test_what_is_given_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(
        'formats = ["glb"]\n[cameras]\nfov_deg = 40\n[cameras.views.front]\nworld_from_camera = ' + str(IDENTITY)
    )
    options = read_job_options(file)
    assert options.formats == ("glb",)
    assert options.cameras.fov_deg == 40
    assert options.cameras.views["front"].world_from_camera == IDENTITY


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"qualty": "high"}, "unknown key qualty: did you mean quality?"),
        ({"zzz": 1}, "known: cameras"),
        ({"quality": "hgh"}, 'quality = "hgh" is not allowed: one of "draft", "standard", "high" (did you mean high?)'),
        ({"cameras": {"fov": 3.0}}, "unknown key cameras.fov: did you mean fov_deg?"),
        ({"cameras": {"views": {"frnt": {"world_from_camera": IDENTITY}}}}, "cameras.views.frnt"),
        ({"cameras": {"views": {"front": {"world_from_camera": MIRROR}}}}, "mirrors"),
        ({"cameras": {"views": {"front": {"world_from_camera": SHEAR}}}}, "no rotation"),
        ({"cameras": {"views": {"front": {"world_from_camera": IDENTITY[:3]}}}}, "at least 4 items"),
        ({"depth": {"near": 1.0, "far": 1.0}}, "near and far are equal"),
        ({"depth": {"per_view": {"top": {"nea": 1.0}}}}, "depth.per_view.top.nea: did you mean near?"),
        ({"priority": True}, "priority = true is not allowed"),
        ({"texture_size_px": "2048"}, 'texture_size_px = "2048" is not allowed'),
        ({"timeout_s": float("nan")}, "finite"),
        ({"formats": ["glb", "glb"]}, "formats names one twice"),
        ({"thresholds": {"normal_psnr": 1.0}}, "above the normal"),
    ],
)
def test_what_is_wrong_is_said(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse_job_options(table)
    assert words in caught.value.message


def test_everything_wrong_is_said_together() -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse_job_options({"qualty": "high", "model": "x"})
    assert len(caught.value.details["problems"]) == 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a = 1\nb = ", "line 2"),
        (b"quality = high", "not valid TOML"),
        (b"a = 1\nb = '\xff'", "not UTF-8 text (line 2)"),
    ],
)
def test_files_that_are_not_toml(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "job.toml").write_bytes(data)
    with pytest.raises(ValidationFailed) as caught:
        read_job_options(tmp_path / "job.toml")
    assert words in caught.value.message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "job.toml").write_text('quality = "draft"', encoding=encoding)
    assert read_job_options(tmp_path / "job.toml").quality == "draft"


def test_the_error_tree() -> None:
    for code, cls in error_classes().items():
        error = cls("a.png is odd.", file="a.png")
        assert isinstance(error, MeshdropError)
        assert error.as_json()["code"] == code
        assert error.as_json()["suggestion"]
        assert error.retry == (cls.kind == "infrastructure")
