"""Pages as people see them: Debian's chromium without a window, and all that it complains of or asks for."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[1]
AXE: Final = "4.14.1"
CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# Nothing but files is to be had: an address outside fails before a packet is sent.
_ARGUMENTS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]


@dataclass
class Window:
    """A page in a browser."""

    page: Any  # playwright's Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, path: Path, after: str = "") -> None:
        """Open a file as by double-click. after: what follows the path, such as "#q=x"."""
        self.page.goto(path.absolute().as_uri() + after)

    def check(self) -> None:
        """Nobody complained, and nothing off this machine was asked for."""
        assert self.complaints == []
        assert [url for url in self.asked if not url.startswith(("file:///", "data:", "blob:", "about:"))] == []


@contextmanager
def browser() -> Iterator[Any]:
    """A browser with a profile of its own. The test is skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield program
        finally:
            program.close()


@contextmanager
def window(program: Any, width: int = 1280, height: int = 800, **options: Any) -> Iterator[Window]:
    """A window of its own, without what others remember. options: those of playwright's `new_context`."""
    context = program.new_context(viewport={"width": width, "height": height}, **options)
    try:
        page = context.new_page()
        page.set_default_timeout(15_000)
        shown = Window(page)
        context.on("console", lambda message: _note(shown, message.type, message.text))
        context.on("weberror", lambda error: shown.complaints.append(str(error.error)))
        context.on("request", lambda request: shown.asked.append(request.url))
        yield shown
    finally:
        context.close()


def _note(shown: Window, kind: str, text: str) -> None:
    if kind in ("error", "warning", "assert") and "GL Driver Message" not in text:  # those are about this very browser
        shown.complaints.append(f"{kind}: {text}")


def axe_complaints(at: Window) -> str:
    """What axe-core, from its npm package, says of how an open page is used by keyboard and read aloud; "" for nothing.

    The window needs `bypass_csp=True`: the page's own policy lets no script in. The test is skipped where axe can't be
    had.
    """
    at.page.add_script_tag(path=str(_axe()))
    found = at.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [(v["id"], [n["html"][:150] for n in v["nodes"][:3]]) for v in found["violations"]]
    return json.dumps(told, indent=1) if told else ""


def _axe() -> Path:
    cache = ROOT / ".cache" / f"axe-{AXE}"
    script = cache / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(cache), "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
        try:
            subprocess.run([*command, f"axe-core@{AXE}"], check=True, timeout=120, capture_output=True)
        except (OSError, subprocess.SubprocessError):
            pytest.skip("axe-core can't be had")
    return script
