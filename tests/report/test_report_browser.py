"""report.html in a real browser, opened from the disk as people do: the model is drawn, and everything can be used."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image

from config.bundle_layout import VIEW_NAMES
from config.job import JobOptions
from config.text import shown
from engine import reconstruct
from engine.sample import make_sample
from tests.browser import Window, axe_complaints, browser, window

pytestmark = pytest.mark.browser

HOSTILE: Final = (
    "</title><script>alert(1)</script><img src=x onerror=alert(2)> \"q' \u202egnp.exe\nشوذ \U0001f45f \udcff"
)
LIMIT_BYTES: Final = 8_000_000
LIMIT_MS: Final = 2_000
TRIES: Final = 3


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job as it comes: 50,000 faces, a texture of 2048 x 2048."""
    folder = tmp_path_factory.mktemp("usual")
    bundle = make_sample(folder / "sample", "locomotive", size_px=1024)
    return reconstruct(bundle, folder / "out", name="red locomotive").out / "report.html"


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job below its limits, by a name that does its worst."""
    folder = tmp_path_factory.mktemp("failed")
    bundle = make_sample(folder / "sample", "teapot", size_px=512)
    options = JobOptions.model_validate({"quality": "draft", "thresholds": {"warning_psnr": 90, "normal_psnr": 95}})
    return reconstruct(bundle, folder / "out", options, name=HOSTILE).out / "report.html"


def _drawn(at: Window, path: Path) -> None:
    at.open(path)
    at.page.wait_for_selector("#viewer.drawn", timeout=60_000)


def _until(at: Window, condition: str) -> None:
    """Asked from outside: to wait within the page takes eval, which its policy refuses."""
    for _ in range(100):
        if at.page.evaluate(condition):
            return
        at.page.wait_for_timeout(50)
    pytest.fail(condition)


def _canvas(at: Window) -> np.ndarray:
    """[H, W, 3] what is seen of the model now, at rest."""
    before = None
    for _ in range(40):
        data = at.page.locator("#model").screenshot()
        if data == before:
            break
        before = data
        at.page.wait_for_timeout(120)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.int16)


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """The share of pixels that differ visibly."""
    return float((np.abs(a - b).max(-1) > 12).mean())


def _press(at: Window, name: str) -> None:
    at.page.get_by_role("button", name=name, exact=True).click()


def _coloured(picture: np.ndarray) -> float:
    return float(((picture.max(-1) - picture.min(-1)) > 60).mean())


def test_the_model_is_really_drawn_and_the_switches_change_it(program: Any, usual: Path) -> None:
    with window(program) as at:
        _drawn(at, usual)
        first = _canvas(at)
        assert len(np.unique(first.reshape(-1, 3) // 16, axis=0)) > 60  # not one colour
        assert _coloured(first) > 0.05
        _press(at, "Wireframe")
        wired = _canvas(at)
        assert 0.02 < _apart(first, wired) < 0.6
        _press(at, "Wireframe")
        assert _apart(first, _canvas(at)) < 0.002
        _press(at, "Texture")
        clay = _canvas(at)
        assert _coloured(clay) < 0.02 < _apart(first, clay)
        _press(at, "Texture")
        _press(at, "What no camera saw")
        seen = _canvas(at)
        magenta = (seen[..., 0] - seen[..., 1] > 70) & (seen[..., 2] - seen[..., 1] > 20)
        assert 0.002 < magenta.mean() < 0.2
        assert at.page.locator("#coverage-legend").is_visible()
        pressed = at.page.locator("[data-toggle=coverage]").get_attribute("aria-pressed")
        assert pressed == "true"
        at.check()


def test_it_can_be_turned_moved_and_zoomed_with_the_mouse(program: Any, usual: Path) -> None:
    with window(program) as at:
        _drawn(at, usual)
        mouse, box = at.page.mouse, at.page.locator("#model").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        states = [_canvas(at)]
        for button in ("left", "right"):
            mouse.move(x, y)
            mouse.down(button=button)
            mouse.move(x + 160, y + 40, steps=4)
            mouse.up(button=button)
            states.append(_canvas(at))
        mouse.move(x, y)
        mouse.wheel(0, -400)
        states.append(_canvas(at))
        for before, after in pairwise(states):
            assert _apart(before, after) > 0.05
        assert at.page.evaluate("scrollY") == 0  # the wheel was the model's: it had been clicked
        _press(at, "Reset")
        at.page.wait_for_timeout(600)
        assert _apart(states[0], _canvas(at)) < 0.01
        at.check()


def test_the_wheel_scrolls_the_page_until_the_model_is_clicked(program: Any, usual: Path) -> None:
    with window(program) as at:
        _drawn(at, usual)
        first = _canvas(at)
        box = at.page.locator("#model").bounding_box()
        at.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        at.page.mouse.wheel(0, 300)
        _until(at, "scrollY > 100")
        at.page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
        assert _apart(first, _canvas(at)) < 0.002


def test_everything_about_the_model_works_from_the_keyboard(program: Any, usual: Path) -> None:
    with window(program, reduced_motion="reduce") as at:
        _drawn(at, usual)
        for _ in range(20):
            at.page.keyboard.press("Tab")
            if at.page.evaluate("document.activeElement.id") == "model":
                break
        assert at.page.evaluate("document.activeElement.id") == "model"
        state = _canvas(at)
        first = state
        keys = ["ArrowLeft", "ArrowUp", "Shift+ArrowRight", "+", "+", "w", "w", "t", "t", "u", "u"]
        for key in [*keys, *map(str, range(1, 7))]:
            at.page.keyboard.press(key)
            after = _canvas(at)
            assert _apart(state, after) > 0.002, key
            state = after
        at.page.keyboard.press("0")
        assert _apart(first, _canvas(at)) < 0.01
        assert at.page.evaluate("scrollY") == 0
        at.check()


def test_each_view_of_the_viewer_shows_what_its_camera_saw(program: Any, usual: Path) -> None:
    """The silhouette from an axis is the delivered view's, up to perspective."""
    with window(program, reduced_motion="reduce") as at:
        _drawn(at, usual)
        for view in VIEW_NAMES:
            _press(at, view.capitalize())
            model = _canvas(at)
            ground = np.median(model[:, :40].reshape(-1, 3), axis=0)
            mask = np.abs(model - ground).max(-1) > 45
            mask[:70, -340:] = False  # the buttons
            source = at.page.locator(f"#view-{view} .input img").get_attribute("src")
            delivered = np.asarray(Image.open(io.BytesIO(_decoded(source))).convert("RGB")).astype(np.int16)
            other = np.abs(delivered - delivered[:4].mean((0, 1))).max(-1) > 25
            assert abs(_flatness(mask) - _flatness(other)) < 0.35, view


def _decoded(address: str) -> bytes:
    return base64.b64decode(address.split(",", 1)[1])


def _flatness(mask: np.ndarray) -> float:
    """log(width / height) of what is marked."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(np.log((columns[-1] - columns[0]) / (rows[-1] - rows[0])))


def test_the_views_are_compared_by_sliders(program: Any, usual: Path) -> None:
    with window(program, width=1400, height=1000) as at:
        _drawn(at, usual)
        picture = at.page.locator("#view-top .pictures")
        picture.scroll_into_view_if_needed()
        slider = picture.get_by_role("slider")

        def shot() -> np.ndarray:
            at.page.wait_for_timeout(250)
            return np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("RGB")).astype(np.int16)

        for choice, least in (("Render", 0.001), ("Difference", 0.3), ("Depth error", 0.3)):
            at.page.get_by_role("radio", name=choice).click()
            slider.fill("0")
            other = shot()
            slider.fill("100")
            own = shot()
            assert _apart(own, other) > least, choice
            slider.fill("50")
            half = shot()
            middle = half.shape[1] // 2
            assert _apart(half[:, 60 : middle - 30], own[:, 60 : middle - 30]) < 0.01
            assert _apart(half[:, middle + 30 : -90], other[:, middle + 30 : -90]) < 0.01
        slider.focus()
        at.page.keyboard.press("ArrowRight")
        assert slider.input_value() == "51"
        assert slider.get_attribute("aria-valuetext") == "51 % input, 49 % depth error"
        assert at.page.locator("[data-legend=depth]").is_visible()
        at.page.get_by_label("Move all").fill("30")
        assert {s.input_value() for s in at.page.locator(".pictures input").all()} == {"30"}
        at.check()


def test_it_is_small_and_quickly_there(program: Any, usual: Path) -> None:
    """8 MB, and two seconds from opening it to the model on the screen, textured."""
    assert usual.stat().st_size <= LIMIT_BYTES
    best = float("inf")
    for _ in range(TRIES):
        with window(program) as at:
            _drawn(at, usual)
            marks = "performance.getEntriesByName('meshdrop-model-drawn')[0].startTime"
            best = min(best, at.page.evaluate(marks))
            at.check()
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    if best > LIMIT_MS and load > 1.5:
        pytest.skip(f"{best:.0f} ms, but this machine does other things (load {load:.1f} a CPU)")
    assert best <= LIMIT_MS


def test_hostile_names_are_inert_text_and_a_failure_has_a_page_too(program: Any, failed: Path) -> None:
    with window(program) as at:
        dialogs: list[str] = []
        at.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        _drawn(at, failed)
        assert at.page.title() == shown(HOSTILE)
        assert at.page.locator("h1").inner_text() == shown(HOSTILE)
        assert "Failure" in at.page.locator(".badge").inner_text()
        assert at.page.locator("img[src=x]").count() == 0
        at.page.wait_for_timeout(300)
        assert dialogs == []
        assert at.page.locator("a[href='error.json']").count() == 1
        at.check()


def test_every_file_that_it_links_to_lies_beside_it(program: Any, failed: Path) -> None:
    with window(program) as at:
        at.open(failed)
        links = {link.get_attribute("href") for link in at.page.locator("a[download]").all()}
        assert links == {path.name for path in failed.parent.iterdir()} - {"report.html"}


@pytest.mark.parametrize(("width", "height"), [(320, 640), (768, 1024), (1280, 720), (3840, 2160)])
def test_no_width_makes_it_scroll_sideways(program: Any, failed: Path, width: int, height: int) -> None:
    with window(program, width=width, height=height) as at:
        _drawn(at, failed)
        at.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert at.page.evaluate("document.documentElement.scrollWidth") <= width
        assert at.page.locator("#model").bounding_box()["width"] > 0.4 * min(width, 2000)
        at.check()


def test_plots_can_be_read_on_a_phone(program: Any, failed: Path) -> None:
    with window(program, width=360, height=740) as at:
        _drawn(at, failed)
        texts = at.page.evaluate(
            """[...document.querySelectorAll("svg.plot text")].map((text) => [text.textContent,
            parseFloat(text.getAttribute("font-size")) * text.ownerSVGElement.getScreenCTM().a])"""
        )
        assert len(texts) > 40
        assert [text for text, size_px in texts if size_px < 8.5] == []
        widths = (
            "[...document.querySelectorAll('table.files td, table.files th')].map((e) => e.scrollWidth - e.clientWidth)"
        )
        assert max(at.page.evaluate(widths)) <= 1


def test_nothing_lies_over_another_in_the_drawing_of_the_cameras(program: Any, failed: Path) -> None:
    with window(program) as at:
        _drawn(at, failed)
        boxes = at.page.evaluate(
            """[...document.querySelectorAll(".rig svg.plot:first-of-type :is(text, circle, .face)")].map((e) => {
            const { left, right, top, bottom } = e.getBoundingClientRect(); return [left, right, top, bottom]; })"""
        )
        assert len(boxes) == 6 + 6 + 3
        for one, (left, right, top, bottom) in enumerate(boxes[:12]):
            for left_b, right_b, top_b, bottom_b in boxes[one + 1 :]:
                assert right < left_b or right_b < left or bottom < top_b or bottom_b < top


def test_light_and_dark(program: Any, failed: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    for scheme in ("light", "dark"):
        with window(program, color_scheme=scheme) as at:
            _drawn(at, failed)
            before = sum(at.page.evaluate(background))
            assert (before > 384) == (scheme == "light")
            button = at.page.get_by_role("button", name="Dark", exact=True)
            assert button.get_attribute("aria-pressed") == str(scheme == "dark").lower()
            button.click()
            assert (sum(at.page.evaluate(background)) > 384) == (scheme == "dark")
            at.check()


def test_few_colours_still_tell_what_is_on(program: Any, failed: Path) -> None:
    with window(program, forced_colors="active") as at:
        _drawn(at, failed)
        colour = "(e) => getComputedStyle(e).backgroundColor"
        on, off = (at.page.locator(f"[data-toggle={name}]").evaluate(colour) for name in ("textured", "wire"))
        assert on != off
        assert len({swatch.evaluate(colour) for swatch in at.page.locator(".dot").all()}) == 3
        at.check()


def test_without_scripts_all_but_the_3d_is_there(program: Any, failed: Path) -> None:
    with window(program, java_script_enabled=False) as at:
        at.open(failed)
        assert at.page.locator("noscript img, .strip img").count() == 8
        assert at.page.locator("#poster").is_visible()
        for control in at.page.locator("button, input").all():
            assert not control.is_visible()
        for picture in at.page.locator("#view-left .pictures img").all():
            assert picture.is_visible()
        assert at.page.locator("a[href='mesh.glb']").first.is_visible()
        at.check()


def test_without_webgl_the_turntable_takes_its_place_and_says_why(program: Any, failed: Path) -> None:
    with window(program) as at:
        at.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        at.open(failed)
        at.page.wait_for_selector("#viewer.no-webgl")
        assert "no WebGL 2" in at.page.locator("#viewer-status").inner_text()
        film = at.page.locator("#turntable")
        assert film.is_visible()
        _until(at, "document.getElementById('turntable').naturalWidth === 300")
        at.check()


def test_it_prints_the_pictures_side_by_side_without_controls(program: Any, failed: Path) -> None:
    with window(program, color_scheme="dark") as at:
        _drawn(at, failed)
        at.page.emulate_media(media="print")
        assert at.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert at.page.evaluate("getComputedStyle(document.querySelector('h2')).color") == "rgb(29, 31, 35)"
        assert at.page.locator("#poster").is_visible()
        assert not at.page.locator("#model").is_visible()
        assert not at.page.locator("[data-toggle=wire]").is_visible()
        boxes = [p.bounding_box() for p in at.page.locator("#view-front .picture").all()]
        assert len({(round(box["x"]), round(box["y"])) for box in boxes}) == 4
        assert len(at.page.pdf()) > 50_000
        # browsers print no backgrounds but these; without them the legends say nothing
        colours = "[...document.querySelectorAll('.swatch, .dot')].map((e) => getComputedStyle(e).printColorAdjust)"
        assert set(at.page.evaluate(colours)) == {"exact"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(program: Any, failed: Path, scheme: str) -> None:
    with window(program, color_scheme=scheme, bypass_csp=True) as at:
        _drawn(at, failed)
        assert axe_complaints(at) == ""
