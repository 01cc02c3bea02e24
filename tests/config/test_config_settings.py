import ast
from pathlib import Path
from typing import Any

import pytest

from config.errors import ValidationFailed
from config.sections import Settings
from config.settings import load_settings, variable_of
from config.tables import schema_of

ROOT = Path(__file__).parents[2]
NONE = Path("/nonexistent/meshdrop.toml")


def test_the_shipped_file_is_the_defaults() -> None:
    shipped = load_settings(environment={}, folder=ROOT, system_file=NONE)
    assert shipped.inbox == ROOT / "inbox"
    assert shipped.outbox == ROOT / "outbox"
    assert shipped.state_dir == ROOT / "state"
    assert shipped.models.reconviagen.weights == ROOT / "weights"
    folders: Any = {"inbox": True, "outbox": True, "state_dir": True, "models": {"reconviagen": {"weights"}}}
    assert shipped.model_dump(exclude=folders) == Settings().model_dump(exclude=folders)


def test_the_shipped_file_names_every_setting() -> None:
    text = (ROOT / "config" / "meshdrop.toml").read_text(encoding="utf-8")
    table, named = "", set()
    for line in text.splitlines():
        if line.startswith("# [["):
            table = line[4 : line.index("]")] + "[]."
        elif line.startswith("["):
            table = line[1 : line.index("]")] + "."
        elif " = " in line:
            named.add(table + line.removeprefix("# ").split(" = ")[0])
    assert named == set(schema_of(Settings))


def test_durations_and_lists_of_tables(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(
        '[failed]\nstay = "7d"\n[intake]\nquiet_s = "1.5m"\n'
        '[[inboxes]]\nname = "a"\npath = "in"\noutbox = "/out"\n[[paths]]\nserver = "srv"\nmac = "/Volumes/x"\n'
    )
    settings = load_settings(file, environment={}, folder=tmp_path, system_file=NONE)
    assert (settings.failed.stay, settings.intake.quiet_s) == (7 * 86400.0, 90.0)
    assert settings.all_inboxes[0].path == tmp_path / "in"
    assert settings.all_inboxes[0].outbox == Path("/out")
    assert settings.paths[0].server == tmp_path / "srv"


def test_one_inbox_is_the_short_form(tmp_path: Path) -> None:
    settings = load_settings(environment={"MESHDROP_INBOX": "drop"}, folder=tmp_path, system_file=NONE)
    (only,) = settings.all_inboxes
    assert (only.name, only.path, only.outbox) == ("inbox", tmp_path / "drop", tmp_path / "outbox")


@pytest.mark.parametrize("text", ['[failed]\nstay = "soon"\n', '[publish]\nfile_mode = "rw"\n'])
def test_durations_and_modes_are_checked(tmp_path: Path, text: str) -> None:
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(ValidationFailed, match="such as"):
        load_settings(tmp_path / "my.toml", environment={}, folder=tmp_path, system_file=NONE)


def test_order(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    local, named, system = tmp_path / "config" / "meshdrop.toml", tmp_path / "my.toml", tmp_path / "etc.toml"
    system.write_text('inbox = "a"\n[engine]\nthreads = 1\n[limits]\nfile_mb = 1.0\nbundle_mb = 1\nmin_size_px = 16\n')
    local.write_text("[engine]\nthreads = 2\n[limits]\nfile_mb = 2.0\nbundle_mb = 2.0\n")
    named.write_text("[engine]\nthreads = 3\n[limits]\nfile_mb = 3.0\n")
    environment = {"MESHDROP_ENGINE__THREADS": "4", "MESHDROP_CONFIG": str(named), "PATH": "x"}
    got = load_settings(environment=environment, folder=tmp_path, system_file=system)
    assert got.engine.threads == 4
    assert (got.limits.file_mb, got.limits.bundle_mb, got.limits.min_size_px) == (3.0, 2.0, 16)
    assert got.limits.max_size_px == 8192
    overridden = load_settings(None, {"engine.threads": 5}, environment, tmp_path, system)
    assert overridden.engine.threads == 5


def test_paths_count_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "x.toml"
    file.write_text('inbox = "../in"\n[engine]\ncache_dir = "/var/cache/x"\n')
    got = load_settings(file, None, {"MESHDROP_OUTBOX": "out"}, tmp_path, NONE)
    assert got.inbox == tmp_path / "in"
    assert got.outbox == tmp_path / "out"
    assert got.state_dir == tmp_path / "state"
    assert got.engine.cache_dir == Path("/var/cache/x")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"MESHDROP_INBX": "a"}, "did you mean MESHDROP_INBOX"),
        ({"MESHDROP_ENGINE__THREDS": "2"}, "did you mean MESHDROP_ENGINE__THREADS"),
        ({"MESHDROP_ENGINE__DEVICE": "gpu"}, 'one of "auto", "cpu", "cuda"'),
        ({"MESHDROP_ENGINE__THREADS": "many"}, 'engine.threads = "many" is not allowed'),
        ({"MESHDROP_CONFIG": "nowhere.toml"}, "no such settings file"),
    ],
)
def test_wrong_variables(environment: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationFailed, match=words):
        load_settings(environment=environment, folder=tmp_path, system_file=NONE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[engin]\nthreads = 1", "unknown key engin: did you mean engine"),
        ("[limits]\nfile_mb = -1", "greater than 0"),
        ("[limits]\nmin_size_px = 1024\nmax_size_px = 512", "min_size_px is above max_size_px"),
        ("[quality.high]\ngrid = 5000", "quality.high.grid = 5000"),
        ("inbox = ", "line 1"),
    ],
)
def test_wrong_files(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(ValidationFailed, match=words) as caught:
        load_settings(file, None, {}, tmp_path, NONE)
    assert "x.toml" in caught.value.message


def test_variables() -> None:
    assert variable_of("engine.threads") == "MESHDROP_ENGINE__THREADS"


def test_config_imports_neither_engine_nor_daemon_nor_numpy() -> None:
    for path in (ROOT / "config").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"engine", "daemon", "numpy", "PIL", "numba", "scipy", "torch"}, path
