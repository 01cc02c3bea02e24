"""The command line: exit status, messages, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.cli import app

runner = CliRunner()


def run(*arguments: str | Path) -> tuple[int, str]:
    result = runner.invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ein Bündel") / "schöner Schuh"
    status, output = run("sample", folder, "--size", "512")
    assert status == 0, output
    return folder / "bundle"


def test_sample_overwrites_nothing(bundle: Path) -> None:
    status, output = run("sample", bundle.parent, "--size", "512")
    assert status == 2
    assert "OUTPUT_EXISTS" in output


def test_sample_lists_its_names() -> None:
    status, output = run("sample", "--list")
    assert status == 0
    assert "--encoding: view_max, " in output


def test_help_names_every_command() -> None:
    status, output = run("--help")
    assert status == 0
    assert {"reconstruct", "sample"} <= set(output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reconstruct", "in"], "Missing argument"),
        (["reconstruct", "in", "out", "--quality", "ultra"], "draft"),
        (["reconstruct", "in", "out", "--model", "gpt"], "nvdiffrec"),
        (["reconstruct", "in", "out", "--formats", "obj,fbx"], "fbx"),
        (["reconstruct", "in", "out", "--formats", ","], "nothing"),
        (["sample", "out", "--object", "unicorn"], "unicorn"),
        (["sample", "out", "--size", "100"], "256"),
        (["sample", "out", "--encoding", "morse"], "morse"),
    ],
)
def test_usage_errors_exit_with_2_and_say_what_is_allowed(arguments: list[str], message: str) -> None:
    status, output = run(*arguments)
    assert status == 2
    assert message in output


def test_a_bundle_that_is_not_there_exits_with_3(tmp_path: Path) -> None:
    status, output = run("reconstruct", tmp_path / "nowhere", tmp_path / "out")
    assert status == 3
    assert "nowhere" in output
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there_is_refused_not_replaced(bundle: Path, tmp_path: Path) -> None:
    status, output = run("reconstruct", bundle, tmp_path / "out", "--model", "reconviagen")
    assert status == 4
    assert "MODEL_UNAVAILABLE" in output
    assert list(tmp_path.iterdir()) == []


def test_what_this_version_cannot_do_is_refused_before_it_computes(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.export.usdz.find_spec", lambda name: None)
    status, output = run("reconstruct", bundle, tmp_path / "out", "--formats", "glb,usdz")
    assert status == 4
    assert "usd-core" in output
    assert "segment" not in output

    assert not (tmp_path / "out").exists()


def test_a_reader_that_goes_away_does_not_change_the_exit_status(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "daemon", "reconstruct", str(tmp_path / "nowhere"), str(tmp_path / "out")]
    done = subprocess.run(command, stdout=theirs, stderr=theirs, cwd=Path(__file__).parent.parent, check=False)
    os.close(theirs)
    assert done.returncode == 3


def test_reconstruct_makes_a_whole_result(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "neu" / "Schuh 1"
    status, output = run("reconstruct", bundle, out, "--quality", "draft", "--formats", "obj,stl")
    assert status == 0, output
    assert "verdict" in output
    names = {path.name for path in out.iterdir()}
    previews = {f"preview_{i}.png" for i in range(8)}
    assert names == previews | {
        "mesh.obj", "material.mtl", "texture_kd.png", "mesh.glb", "mesh.stl", "contact_sheet.png",
        "turntable.webp", "thumbnail.webp", "quality.json", "cameras.json", "report.html", "job.json",
    }  # fmt: skip
    job = json.loads((out / "job.json").read_text())
    assert job["options"]["quality"] == "draft"
    assert set(job["files"]) == names - {"job.json"}

    status, output = run("reconstruct", bundle, out)
    assert status == 2
    assert "OUTPUT_EXISTS" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_and_exits_with_130(bundle: Path, tmp_path: Path, number: int) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "daemon", "reconstruct", str(bundle), str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:  # plain progress lines: the job is under way at the first
        if "%" in line:
            break
    os.kill(process.pid, number)
    asked_s = time.monotonic()
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "Cancelled" in rest
    assert time.monotonic() - asked_s < 30
    assert list(tmp_path.iterdir()) == []


def test_commands_say_what_they_did_and_log_nothing(tmp_path: Path) -> None:
    from daemon.clock import SystemClock
    from daemon.store import open_store

    config = tmp_path / "meshdrop.toml"
    config.write_text('inbox = "in"\noutbox = "out"\nstate_dir = "state"\n')
    (tmp_path / "state").mkdir()
    open_store(tmp_path / "state", clock=SystemClock()).close()
    result = runner.invoke(app, ["pause", "--config", str(config)])
    assert (result.exit_code, result.output) == (0, "Paused: no job is taken until `meshdrop resume`.\n")
