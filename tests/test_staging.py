import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import DiskFull, OutputExists, ShareUnavailable
from engine.staging import staged_folder, storage_error


def test_success_appears_by_one_rename(tmp_path: Path) -> None:
    out = tmp_path / "new" / "deep" / "Ergebnis für Müller"
    with staged_folder(out) as folder:
        (folder / "a.txt").write_text("a")
        assert not out.exists()
    assert (out / "a.txt").read_text() == "a"
    assert list(out.parent.iterdir()) == [out]


def test_failure_leaves_nothing_at_all(tmp_path: Path) -> None:
    out = tmp_path / "new" / "deep" / "out"
    with pytest.raises(RuntimeError), staged_folder(out) as folder:
        (folder / "half.png").write_bytes(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ShareUnavailable, match="x{300}: File name too long"), staged_folder(tmp_path / ("x" * 300)):
        pytest.fail("must not begin")


def test_a_file_where_a_folder_should_be_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ShareUnavailable, match="Not a directory"), staged_folder(tmp_path / "file" / "out"):
        pytest.fail("must not begin")


@pytest.mark.parametrize("kind", ["file", "empty folder", "full folder", "dangling link"])
def test_what_is_there_is_left_alone(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif kind == "dangling link":
        out.symlink_to(tmp_path / "nowhere")
    else:
        out.mkdir()
        if kind == "full folder":
            (out / "mine").write_text("mine")
    with pytest.raises(OutputExists, match="already something at"), staged_folder(out, replace=True):
        pytest.fail("must not begin")
    assert list(tmp_path.iterdir()) == [out]


def test_replace_takes_an_earlier_result_only_when_the_new_one_stands(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with staged_folder(out) as folder:
        (folder / "quality.json").write_text("1")
    with pytest.raises(RuntimeError), staged_folder(out, replace=True):
        raise RuntimeError
    assert (out / "quality.json").read_text() == "1"
    with staged_folder(out, replace=True) as folder:
        (folder / "quality.json").write_text("2")
    assert (out / "quality.json").read_text() == "2"
    assert list(tmp_path.iterdir()) == [out]


def test_something_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OutputExists), staged_folder(out):
        out.mkdir()
    assert list(tmp_path.iterdir()) == [out]
    assert list(out.iterdir()) == []


def test_a_parent_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ShareUnavailable, match="file"), staged_folder(tmp_path / "file" / "out"):
        pytest.fail("must not begin")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_parent_is_a_storage_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with (
            pytest.raises(ShareUnavailable, match=f"{tmp_path}: Permission denied"),
            staged_folder(tmp_path / "out"),
        ):
            pytest.fail("must not begin")
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EROFS, ShareUnavailable),
        (errno.EACCES, ShareUnavailable),
        (errno.ENAMETOOLONG, ShareUnavailable),
    ],
)
def test_errno_maps_to_the_right_code(number: int, expected: type[Exception]) -> None:
    error = storage_error(OSError(number, os.strerror(number), "/x/y.png"), Path("/x"))
    assert isinstance(error, expected)
    assert "/x/y.png" in str(error)


def test_other_errors_are_not_storage() -> None:
    assert storage_error(OSError(errno.ECHILD, "no child"), Path("/x")) is None


def leftover(out: Path, age_s: float) -> Path:
    """What a killed run to `out` leaves that began so long ago."""
    with staged_folder(out) as folder:
        name = folder.name
    shutil.rmtree(out)
    start, began = name[:-20], int(name[-20:-4], 16)
    made = out.parent / f"{start}{began - int(age_s * 1e9):016x}{name[-4:]}"
    made.mkdir()
    (made / "half.png").write_bytes(b"half")
    return made


def test_what_a_killed_run_left_is_cleared_by_the_next_one(tmp_path: Path) -> None:
    out = tmp_path / "Schuh 中文" / "out"
    with staged_folder(out.with_name("other")):
        pass
    left, others = leftover(out, 3600), leftover(out.with_name("outer"), 3600)
    with staged_folder(out) as folder:
        (folder / "a.txt").write_text("a")
        assert not left.exists()
    assert {path.name for path in out.parent.iterdir()} == {"out", "other", others.name}


def test_a_folder_that_may_be_about_to_be_locked_is_left(tmp_path: Path) -> None:
    left = leftover(tmp_path / "out", 1)
    with staged_folder(tmp_path / "out"):
        assert left.exists()


@pytest.mark.parametrize("replace", [False, True])
def test_a_second_run_to_the_same_folder_is_refused_at_once(tmp_path: Path, replace: bool) -> None:
    out = tmp_path / "out"
    with staged_folder(out) as first:
        with (
            pytest.raises(OutputExists, match="Another run is making"),
            staged_folder(out, replace=replace),
        ):
            pytest.fail("must not begin")
        assert first.is_dir()
    assert list(tmp_path.iterdir()) == [out]


def test_a_result_that_appears_at_the_last_moment_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("os.path.lexists", lambda path: False)
    with pytest.raises(OutputExists, match="meanwhile"), staged_folder(out):
        out.mkdir()
        (out / "theirs").write_text("theirs")
    assert [path.name for path in out.iterdir()] == ["theirs"]


def test_a_long_name_in_many_bytes_is_taken(tmp_path: Path) -> None:
    out = tmp_path / ("靴" * 85)  # 255 bytes, the most that a name may have
    with staged_folder(out) as folder:
        assert len(os.fsencode(folder.name)) < 150
    assert out.is_dir()


def test_a_folder_that_cannot_be_written_is_named_as_people_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, *arguments: object, **options: object) -> None:
        if ".partial-" in self.name:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(ShareUnavailable) as caught, staged_folder(tmp_path / "out"):
        pytest.fail("must not begin")
    assert caught.value.message == f"Can't write {tmp_path}: Permission denied."


def test_a_run_killed_outright_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom engine.staging import staged_folder\n"
        "with staged_folder(Path(sys.argv[1])):\n    print('begun', flush=True)\n    time.sleep(60)\n"
    )
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", script, str(out)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
        with pytest.raises(OutputExists, match="Another run"), staged_folder(out):
            pytest.fail("must not begin")
        process.kill()
        process.wait()
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr("engine.staging._LEFTOVER_S", 0.0)
    with staged_folder(out):
        pass
    assert list(tmp_path.iterdir()) == [out]
