"""report.html as text: whole, safe, and of a size to be opened from a share."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.bundle_layout import VIEW_NAMES
from config.job import JobOptions
from config.text import shown
from engine.mesh import Mesh, TexturedMesh
from engine.preview import studio
from engine.quality import MEANING, Comparison
from engine.report import Peer, Subject, words, write_report
from engine.report.document import as_json, content_digest, inline, ticks
from engine.report.model import GENERATED, GRAZING, SEEN, UNSEEN, Model, pack_model, visibility
from engine.texture import GRAZING_COSINE, SEEN_COSINE
from tests.report.conftest import FILES

PageOf = Callable[..., str]
VOID = {"meta", "link", "img", "input", "hr", "br"}
SVG_ALONE = {"rect", "circle", "line", "path"}
LIMIT_BYTES = 8_000_000


class Reader(HTMLParser):
    """A page's elements, its texts by element, and whether every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        if found := dict(attrs).get("id"):
            self.ids.append(found)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> str:
        return "".join(self.texts.get(tag, []))


@pytest.fixture
def page(page_of: PageOf) -> str:
    return page_of()


def _bodies(page: str, tag: str) -> list[tuple[str, str]]:
    return re.findall(rf"<{tag}([^>]*)>(.*?)</{tag}>", page, re.S)


def test_only_what_the_policy_names_runs_and_nothing_comes_from_outside(page: str) -> None:
    reader = Reader(page)
    policy = next(m["content"] for m in reader.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: blob:"
    assert "unsafe" not in policy
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        bodies = [body for attributes, body in _bodies(page, tag) if "text/plain" not in attributes]
        digests = [f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in bodies]
        assert sorted(digests) == sorted(rules[rule].split())
    assert page.index("Content-Security-Policy") < page.index("<style") < page.index("<script")
    for tag, attributes in reader.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcset", "action")], tag
        for name in ("src", "href"):
            address = attributes.get(name) or ""
            assert re.match(r"data:image/(png|jpeg|webp);base64,|#[a-z]|[a-z_0-9]+\.[a-z]+$|$", address), address[:80]
        assert tag not in ("iframe", "object", "embed", "base", "form")
    assert not re.search(r"url\(|@import", "".join(body for _, body in _bodies(page, "style")))


def test_every_section_is_there_and_every_link_within_the_page_leads_somewhere(page: str) -> None:
    reader = Reader(page)
    assert len(reader.ids) == len(set(reader.ids))
    inner = [a["href"] for a in reader.all("a") if str(a.get("href")).startswith("#")]
    assert {str(href)[1:] for href in inner} <= set(reader.ids)
    assert {"model-section", "views", "figures", "coverage", "cameras", "mesh", "files"} <= set(reader.ids)
    for attributes in [a for _, a in reader.elements]:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name) is None or attributes[name] in reader.ids
    assert {tag for tag, _ in reader.elements} >= {"header", "nav", "main", "footer", "h1", "h2", "h3", "noscript"}
    assert reader.all("html")[0]["lang"] == "en"


def test_every_picture_has_words_and_a_size_and_every_control_a_name(page: str) -> None:
    reader = Reader(page)
    assert len(reader.all("img")) == 2 + 8 + 24
    for picture in reader.all("img"):
        assert picture.get("alt")
        assert int(str(picture["width"])) > 0
    for plot in reader.all("svg"):
        assert plot.get("aria-label") or plot.get("aria-hidden")
    for slider in [i for i in reader.all("input") if i["type"] == "range" and i.get("id") != "all-sliders"]:
        assert slider.get("aria-label")


def test_the_figures_are_those_of_quality_json(page: str, result: tuple[Path, Subject]) -> None:
    quality = result[1].quality
    text = re.sub(r"<[^>]+>", " ", page[page.index("<body") : page.index('id="model-facts"')])
    for view in VIEW_NAMES:
        assert f"{quality['views'][view]['psnr']:.2f}" in text
        assert f"{100 * quality['views'][view]['depth_error']:.3f}" in text
    assert f"{quality['calibration']['fov_deg']:.2f}°" in text
    assert "80.0 % seen well" in text
    assert "15.0 % by no camera" in text
    assert "3.2 s" in text
    assert "+2.5, −0.2" in text


@pytest.mark.parametrize("rule", MEANING)
def test_the_verdict_is_said_in_words_with_the_rule_that_decided(
    page_of: PageOf, result: tuple[Path, Subject], rule: str
) -> None:
    status = {"meets_normal": "normal"}.get(rule, "failure" if rule.endswith("_warning") else "warning")
    quality = {**copy.deepcopy(dict(result[1].quality)), "status": status, "rule": rule}
    quality["calibration"]["ambiguous"] = rule == "orientation_ambiguous"
    page = page_of(quality=quality)
    assert f'<p class="badge {status}">' in page
    assert words.VERDICT[status] in page
    meaning = MEANING[rule][1:]  # type: ignore[index]
    assert meaning in page
    assert ("may be turned or mirrored" in page) == (rule == "orientation_ambiguous")


def test_the_confidence_is_drawn_where_the_cameras_were_looked_for(
    page_of: PageOf, result: tuple[Path, Subject]
) -> None:
    for source, drawn in (("estimated", True), ("mixed", True), ("given", False)):
        quality = copy.deepcopy(dict(result[1].quality))
        quality["calibration"] |= {"source": source, "confidence": 0.37}
        page = page_of(quality=quality)
        assert ('aria-label="Confidence in the cameras: 0.37, agreeing from 0.60"' in page) == drawn
        assert "0.37 of 1" in page


def test_downloads_lie_beside_the_page_with_their_sizes(page: str, result: tuple[Path, Subject]) -> None:
    reader = Reader(page)
    linked = [str(a["href"]) for a in reader.all("a") if "download" in a]
    assert set(linked) == {*FILES, "job.json"}
    assert linked[0] == "mesh.glb"
    assert page.count("<td>4 kB</td>") >= 1  # mesh.glb's 4,000 bytes
    assert words.size_text(999) == "999 B"
    assert words.size_text(5_272_128) == "5.3 MB"


def test_the_same_result_gives_the_same_bytes_but_for_times(page_of: PageOf, result: tuple[Path, Subject]) -> None:
    later = {**result[1].quality, "timings_s": {"calibrate": 9.0, "texture": 0.1}}
    first, again, other = page_of(), page_of(), page_of(quality=later)
    assert first == again
    assert first != other
    a, b = (re.sub(r"<(\w+)[^>]*data-varies>.*?</\1>", "", page, flags=re.S) for page in (first, other))
    assert a == b


def test_no_path_of_the_machine_is_in_the_page(page: str, result: tuple[Path, Subject]) -> None:
    assert str(result[0]) not in page
    assert str(Path.home()) + "/" not in page
    assert "/work" not in page.replace("/work-", "")


def test_the_licence_of_the_viewer_is_in_the_page(page: str) -> None:
    assert "Permission is hereby granted, free of charge" in page
    assert "three.js authors" in page


HOSTILE = [
    "</title><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)",
    "</script><script>alert(1)</script>",
    "<!-- --> -->",
    "a\nb\r\tc",
    "\u202egnp.exe",
    "shoe \U0001f45f & co {{ 7 * 7 }} {% raw %}",
    "bad \udcff\udc80 bytes",
    "بيت أحمر",
    "\u2028x\u0000y",
    "",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_everywhere(page_of: PageOf, name: str) -> None:
    plain = Reader(page_of(name="x", notes=("x",)))
    reader = Reader(page_of(name=name, notes=(name,)))
    assert reader.text("title") == shown(name)
    assert reader.text("bdi") == shown(name)
    assert shown(name) in reader.texts.get("li", [""])
    assert [tag for tag, _ in reader.elements] == [tag for tag, _ in plain.elements]
    for _, attributes in reader.elements:
        assert not [key for key in attributes if key.startswith("on")]


@given(st.text(st.characters(), max_size=60))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_is_text(result: tuple[Path, Subject], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from engine.report import stage
    from engine.report.document import render

    out, subject = result
    context, data = _cached(out, subject)
    page = render({**context, "name": stage.shown(name), "notes": [stage.shown(name)]}, data)
    page.encode()
    reader = Reader(page[: page.index('<script type="text/plain"')] + "</body></html>")
    assert reader.text("title") == shown(name)
    assert not [key for _, attributes in reader.elements for key in attributes if key.startswith("on")]
    assert len(reader.all("script")) == 1


_made: dict[Path, tuple[dict[str, Any], dict[str, str]]] = {}


def _cached(out: Path, subject: Subject) -> tuple[dict[str, Any], dict[str, str]]:
    from engine.report import stage

    if out not in _made:
        _made[out] = (stage._context(subject, out, FILES), dict.fromkeys(stage._data(subject, out), ""))
    return _made[out]


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
@settings(max_examples=20, deadline=None)
def test_json_in_the_page_holds_no_markup_and_says_the_same(document: Any) -> None:
    text = as_json(document)
    assert not set(text) & set("<>&")
    assert json.loads(text) == document


def test_a_part_that_would_end_its_element_is_refused() -> None:
    for text in ("a </script> b", "</STYLE>", "<!--", "a\r\n"):
        with pytest.raises(ValueError, match="ends its own element"):
            inline(text)
    assert content_digest("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"


def _unpack(model: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    at, parts = 0, []
    index = np.uint32 if model.wide else np.uint16
    shapes = [(model.vertices, 3, np.uint16), (model.corners, 2, np.uint16), (model.corners, 1, index)]
    shapes += [(model.faces, 3, index), (model.faces, 1, np.uint8)]
    for rows, columns, dtype in shapes:
        parts.append(np.frombuffer(model.data, dtype, rows * columns, at).reshape(rows, columns))
        at += -(-parts[-1].nbytes // 4) * 4
    assert at == len(model.data)
    return tuple(parts)  # type: ignore[return-value]


def test_the_model_in_the_page_is_the_mesh_to_a_65535th_of_its_size(result: tuple[Path, Subject]) -> None:
    textured = result[1].textured
    seen = visibility(result[1].face_confidence)
    model = pack_model(textured, seen)
    position, uv, vertex_of, face, classes = _unpack(model)
    low, high = np.array(model.low), np.array(model.high)
    corners = low + position[vertex_of[face, 0]] / 65535 * (high - low)
    assert np.abs(corners - textured.mesh.vertices[textured.mesh.faces]).max() < 1.01 * (high - low).max() / 65535
    assert np.abs(uv[face] / 65535 - textured.uv[textured.faces_uv]).max() < 1 / 65535
    assert (classes[:, 0] == seen).all()


def test_faces_are_seen_grazing_or_unseen_as_texturing_has_it() -> None:
    cosines = np.array([0, SEEN_COSINE - 1e-3, SEEN_COSINE, GRAZING_COSINE - 1e-3, GRAZING_COSINE, 1], np.float32)
    assert visibility(cosines).tolist() == [UNSEEN, UNSEEN, GRAZING, GRAZING, SEEN, SEEN]


def test_what_is_generated_is_told_and_shown(page_of: PageOf, result: tuple[Path, Subject]) -> None:
    faces = len(result[1].textured.mesh.faces)
    generated = np.arange(faces) % 4 == 0
    confidence = np.full(faces, 0.9, np.float32)
    assert (visibility(confidence, generated) == np.where(generated, GENERATED, SEEN)).all()
    quality = {**result[1].quality, "generated": {"surface": 0.125, "silhouette_iou": 0.97, "lead": None}}
    text = page_of(quality=quality, generated=generated, face_confidence=confidence)
    Reader(text)
    assert "12.5 % of the surface is generated" in text
    assert 'class="swatch generated"' in text
    assert 'class="swatch generated"' not in page_of()


@pytest.mark.parametrize(("address", "is_second"), [("nvdiffrec/report.html", False), ("../report.html", True)])
def test_two_models_are_shown_beside_each_other(
    page_of: PageOf, result: tuple[Path, Subject], address: str, is_second: bool
) -> None:
    own = {**result[1].quality, "model": "nvdiffrec" if is_second else "reconviagen"}
    other = {**result[1].quality, "model": "reconviagen" if is_second else "nvdiffrec", "psnr": 12.34}
    peer = Peer(other, result[1].poster, address, Comparison("reconviagen", "nvdiffrec", "foreground"))
    text = page_of(quality=own, peer=peer)
    reader = Reader(text)
    assert ("a", {"href": address}) in reader.elements
    assert "reconviagen comes first: it is closer to the views on the object alone" in text
    rows = [
        row
        for row in re.findall(r"<tr><th scope=.row.>(\w+)</th>.*?</tr>", text)
        if row in ("reconviagen", "nvdiffrec")
    ]
    assert rows == ["reconviagen", "nvdiffrec"]
    assert "12.34" in text
    assert ('href="job.json"' in text) is not is_second


def test_a_page_of_50000_faces_stays_below_8_mb_even_where_all_pictures_are_noise(
    page_of: PageOf, result: tuple[Path, Subject]
) -> None:
    rng = np.random.default_rng(1)
    closeups = {}
    for name, cut in result[1].evaluation.closeups.items():
        noise = rng.integers(0, 256, (768, 768, 3)).astype(np.uint8)
        depth = rng.normal(0, 0.01, (512, 512)).astype(np.float32)
        void = np.zeros((512, 512), bool)
        closeups[name] = dataclasses.replace(
            cut,
            delivered=noise,
            render=noise,
            difference=noise[..., 0],
            depth_difference=depth,
            missing=void,
            surplus=void,
        )
    vertices, corners, faces = 25_000, 45_000, 50_000
    textured = TexturedMesh(
        Mesh(rng.normal(size=(vertices, 3)), rng.integers(0, vertices, (faces, 3)).astype(np.int32)),
        rng.random((corners, 2)).astype(np.float32),
        rng.integers(0, corners, (faces, 3)).astype(np.int32),
        rng.integers(0, 256, (2048, 2048, 3)).astype(np.uint8),
    )
    page = page_of(
        textured=textured,
        face_confidence=np.ones(50_000, np.float32),
        evaluation=dataclasses.replace(result[1].evaluation, closeups=closeups),
    )
    assert 3_000_000 < len(page.encode()) < LIMIT_BYTES


def test_a_job_with_options_and_notes_shows_them(page_of: PageOf) -> None:
    options = JobOptions.model_validate(
        {"cameras": {"distance": 2.5, "fov_deg": 40}, "thresholds": {"normal_psnr": 33}}
    )
    page = page_of(options=options, notes=("depth was 24 bit; its first channel was taken",))
    assert "depth was 24 bit" in page
    assert "the camera’s distance is 2.5" in page
    assert "normal from 33.0" in page


def test_writing_can_be_cancelled_and_leaves_no_page(result: tuple[Path, Subject], tmp_path: Path) -> None:
    out, subject = result
    (out / "report.html").unlink(missing_ok=True)

    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(subject, out, FILES, stop)
    assert not (out / "report.html").exists()


def test_ticks_are_round() -> None:
    assert ticks(10, 40, 6) == [10, 15, 20, 25, 30, 35, 40]
    assert ticks(0, 97, 6) == [0, 20, 40, 60, 80]


def test_the_viewer_stands_where_the_poster_was_taken(page: str) -> None:
    facts = json.loads(next(body for attributes, body in _bodies(page, "script") if 'id="model-facts"' in attributes))
    assert facts["fov_deg"] == studio.FOV_DEG
    assert [view["name"] for view in facts["views"]] == list(VIEW_NAMES)
    assert facts["views"][0]["toward"] == [0, 0, 1]


def test_every_stage_has_words() -> None:
    from engine.pipeline import _SHARES
    from engine.report.words import STAGE

    assert set(_SHARES) - {"report"} <= set(STAGE), "the report is written before its own stage has ended"
