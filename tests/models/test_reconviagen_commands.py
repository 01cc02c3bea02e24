"""meshdrop weights list | verify | fetch."""

from __future__ import annotations

import builtins
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from config.errors import ModelUnavailable, UsageError
from daemon.cli import app
from daemon.commands.weights import _download
from engine.models.reconviagen.weights import weights_files


def _run(tmp_path: Path, *arguments: str, accept: bool = False) -> tuple[int, str]:
    file = tmp_path / "my.toml"
    file.write_text(f'[models.reconviagen]\nweights = "w"\naccept_vggt_licence = {json.dumps(accept)}\n')
    done = CliRunner().invoke(app, ["weights", *arguments, "--config", str(file)])
    return done.exit_code, " ".join(done.output.split())


def test_list_names_each_file_and_where_it_goes(tmp_path: Path) -> None:
    status, text = _run(tmp_path, "list")
    assert status == 0
    for file in weights_files(tmp_path / "w"):
        assert str(file.path) in text
        assert file.url in text
    assert "missing" in text
    status, text = _run(tmp_path, "list", "--json")
    rows = json.loads(text)
    assert {row["there"] for row in rows} == {False}
    assert [row["path"] for row in rows] == [str(file.path) for file in weights_files(tmp_path / "w")]


def test_verify_says_what_is_wrong_and_fails(tmp_path: Path) -> None:
    file = weights_files(tmp_path / "w")[0]
    file.path.parent.mkdir(parents=True)
    file.path.write_bytes(b"no weights at all")
    status, text = _run(tmp_path, "verify")
    assert status == 4
    assert "no safetensors file" in text
    assert "MODEL_UNAVAILABLE" in text


def test_fetch_is_refused_until_the_licence_is_accepted(tmp_path: Path) -> None:
    status, text = _run(tmp_path, "fetch")
    assert status == 4
    assert "accept_vggt_licence" in text
    assert not (tmp_path / "w").exists()


def test_fetching_without_the_extra_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> ModuleType:
        if name == "huggingface_hub":
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="huggingface_hub"):
        _download("https://huggingface.co/a/b/resolve/main/c", tmp_path / "c")


def test_a_file_of_the_hub_comes_from_its_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def hf_hub_download(repo_id: str, filename: str, local_dir: Path) -> str:
        asked.append((repo_id, filename))
        path = local_dir / filename
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
        return str(path)

    hub = ModuleType("huggingface_hub")
    hub.hf_hub_download = hf_hub_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    url = next(file.url for file in weights_files(tmp_path) if "ckpts" in file.url)
    _download(url, tmp_path / "here")
    assert asked == [("Stable-X/trellis-vggt-v0-2", url.partition("/resolve/main/")[2])]
    assert (tmp_path / "here").read_bytes() == b"weights"
    assert len(list(tmp_path.iterdir())) == 1


def test_any_other_address_is_fetched_as_it_is(tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/x.pth" else 404)
            self.end_headers()
            self.wfile.write(b"tensors")

        def log_message(self, format: str, *args: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            place = f"http://127.0.0.1:{server.server_address[1]}"
            _download(f"{place}/x.pth", tmp_path / "x.pth")
            with pytest.raises(ModelUnavailable, match="404"):
                _download(f"{place}/y.pth", tmp_path / "y.pth")
        finally:
            server.shutdown()
            thread.join()
    assert (tmp_path / "x.pth").read_bytes() == b"tensors"
