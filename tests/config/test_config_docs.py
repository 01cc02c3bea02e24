"""Everything that people can write or may meet is documented."""

import re
import shutil
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from config import reference
from config.errors import error_classes
from config.job import JobOptions
from config.sections import Settings
from config.settings import load_settings
from config.tables import annotation_of, keys_of, schema_of
from config.values import duration_text

DOCS = Path(__file__).parents[2] / "docs"


def _rows(name: str) -> dict[str, str]:
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    found = (re.match(r"\| `([^`]+)` \| (.+) \|$", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("settings.md", set(schema_of(Settings))),
        ("job-toml.md", set(schema_of(JobOptions))),
        ("errors.md", set(error_classes())),
    ],
)
def test_every_name_has_a_row_and_no_row_is_stale(name: str, known: set[str]) -> None:
    assert set(_rows(name)) == known


def test_what_is_made_from_the_code_is_up_to_date() -> None:
    stale = [path.name for path, text in reference.made().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run `make docs`"


def test_a_change_in_the_code_is_noticed_and_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("images"))
    (tmp_path / "config").mkdir()
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    assert reference.main([]) == 0
    assert capsys.readouterr().out == "config/meshdrop.toml\n", "which was not there"
    page = tmp_path / "docs" / "settings.md"
    page.write_text(page.read_text().replace("`5.0`", "`6.0`"))
    assert reference.main(["--check"]) == 1
    assert "`6.0`" in page.read_text()
    reference.main([])
    assert reference.main(["--check"]) == 0
    assert page.read_text() == (DOCS / "settings.md").read_text()
    page.write_text("no marks")
    with pytest.raises(ValueError, match="marks"):
        reference.main([])


@pytest.mark.parametrize("model", [Settings, JobOptions])
def test_every_key_is_described_with_what_it_may_be(model: type[Settings] | type[JobOptions]) -> None:
    for key in keys_of(model):
        text = key.field.description or ""
        assert text.endswith("."), key.dotted
        kind = annotation_of(model, key.dotted)
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        assert all(f"`{choice}`" in text for choice in choices), f"{key.dotted}: {choices}"


def test_the_examples_in_the_shipped_file_are_settings(tmp_path: Path) -> None:
    text = (DOCS.parent / "config" / "meshdrop.toml").read_text(encoding="utf-8")
    plain, listed = text.split("# # Several inboxes", 1)
    on = re.sub(r"^# (?=\w+ = )", "", plain, flags=re.M) + re.sub(r"^# ", "", f"# # {listed}", flags=re.M)
    (tmp_path / "on.toml").write_text(on)
    settings = load_settings(tmp_path / "on.toml", environment={}, folder=tmp_path, system_file=tmp_path / "none")
    assert settings.inboxes[0].name == "props"
    assert settings.paths[0].windows == "Z:\\props"
    assert settings.publish.group == "studio"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0s"), (1.5, "1.5s"), (90.0, "90s"), (120.0, "2m"), (7200.0, "2h"), (604800.0, "7d")]
)
def test_durations_as_people_write_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
    assert Settings.model_validate({"failed": {"stay": text}}).failed.stay == seconds


def test_errors_have_their_kind_and_exit_status() -> None:
    rows = _rows("errors.md")
    for code, cls in error_classes().items():
        kind, exit_status, meaning, advice = rows[code].split(" | ")
        assert (kind, int(exit_status)) == (cls.kind, cls.exit_status)
        assert meaning
        assert advice
