"""The page as text: templates filled in with everything escaped, inline parts allowed by their digests alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from engine.report.pictures import MISSING_COLOUR, SURPLUS_COLOUR

_ROOM: Final = resources.files("engine.report")
_SCRIPTS: Final = ("head", "page", "viewer")
_TEMPLATES: Final = ("page.html", "plots.html", "style.css")


def as_json(document: Any) -> str:
    """JSON that holds no character with a meaning in HTML."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def content_digest(text: str) -> str:
    """How a Content-Security-Policy names an inline part: sha256 of its bytes."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def policy(style: str, scripts: Iterable[str]) -> str:
    """The page's Content-Security-Policy: nothing from outside, no inline part but these."""
    allowed = " ".join(content_digest(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {content_digest(style)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def inline(text: str) -> Markup:
    """A part of the program's own, as it is. Raises ValueError where it would end its element."""
    if re.search(r"</(script|style)|<!--", text, re.IGNORECASE) or "\r" in text:
        raise ValueError("a script or style that ends its own element")
    return Markup(text)


def render(context: Mapping[str, Any], data: Mapping[str, str]) -> str:
    """The page. data: text by id, base64 or of `as_json`, for the scripts."""
    environment, parts = _environment(), _parts()
    scripts = {name: inline(text) for name, text in parts.items()}
    style = inline(environment.get_template("style.css").render(missing=MISSING_COLOUR, surplus=SURPLUS_COLOUR))
    for text in data.values():
        if "<" in text:
            raise ValueError("data that holds markup")
    return environment.get_template("page.html").render(
        **context,
        policy=Markup(policy(style, scripts.values())),
        style=style,
        scripts=scripts,
        data={name: Markup(text) for name, text in data.items()},
        notice=_notice(),
    )


def _asset(*path: str) -> str:
    return _ROOM.joinpath(*path).read_text("utf-8")


@cache
def _parts() -> dict[str, str]:
    return {name: _asset("assets", f"{name}.js") for name in _SCRIPTS} | {
        "three": _asset("third_party", "three.min.js")
    }


def _notice() -> Markup:
    """The licence of what is in the page and not the program's own."""
    text = _asset("third_party", "three.LICENSE.txt")
    return Markup("This page contains three.js.\n\n") + Markup(text.replace("--", "- -"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=DictLoader({name: _asset("assets", name) for name in _TEMPLATES}),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "fixed": lambda value, digits=2: f"{value:.{digits}f}".replace("-", "−"),
        "signed": _signed,
        "percent": lambda value, digits=1: f"{100 * value:.{digits}f} %",
        "plain": lambda value: f"{value:g}",
        "grouped": lambda value: f"{value:,}".replace(",", "\u202f"),
    }
    environment.globals["ticks"] = ticks
    return environment


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return "0" if not float(text) else text.replace("-", "−")


def ticks(low: float, high: float, most: int) -> list[int]:
    """Round numbers from `low` to `high`, at most `most` or so."""
    step = next(step for step in (1, 2, 5, 10, 20, 50) if (high - low) / step <= most)
    first = int(-(-low // step) * step)
    return list(range(first, int(high) + 1, step))
