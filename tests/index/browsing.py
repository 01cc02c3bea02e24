"""What tests of the page in a browser wait for, and read from it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from daemon.states import State
from tests.browser import Window

if TYPE_CHECKING:
    from tests.index.conftest import House

sync_api = pytest.importorskip("playwright.sync_api")


def names(at: Window) -> list[str]:
    found: list[str] = at.page.locator("#jobs .name").all_text_contents()
    return found


def wait_for(at: Window, condition: str) -> None:
    """Asked from outside: to wait in the page takes eval, which its policy refuses."""
    until_s = time.monotonic() + 15
    while True:
        with suppress(sync_api.Error):  # it is being reloaded
            if at.page.evaluate(condition):
                return
        assert time.monotonic() < until_s, condition
        at.page.wait_for_timeout(50)


def finished(house: House, *dropped: str) -> None:
    for job in house.drop(*dropped):
        house.finish(job, State.SUCCESS, "thumbnail.webp", "report.html")
