"""The README's pictures, made by the present program: `make pictures` (needs chromium, takes minutes)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from PIL import Image

from engine import reconstruct
from engine.sample import make_sample
from tests.browser import ROOT, browser, window

IMAGES: Final = ROOT / "docs" / "images"
# Each object, and the preview that shows it best.
SHOWN: Final = {"locomotive": "preview_1.png", "teapot": "preview_1.png", "robot": "preview_1.png"}
_JPEG: Final = {"quality": 88, "optimize": True, "progressive": True}
_SHEET_PX: Final = 1456


def main() -> None:
    """Make a bundle of each object, reconstruct it as a job without a job.toml is, and write docs/images."""
    with tempfile.TemporaryDirectory(prefix="meshdrop-pictures-") as scratch:
        results = {}
        for name in SHOWN:
            print(f"{name} ...", flush=True)
            bundle = make_sample(Path(scratch) / name, name)
            results[name] = reconstruct(bundle, Path(scratch) / f"{name}-result", name=name).out
        write_previews([results[name] / preview for name, preview in SHOWN.items()], IMAGES / "previews.jpg")
        write_sheet(results["locomotive"] / "contact_sheet.png", IMAGES / "contact_sheet.jpg")
        write_page(results["locomotive"] / "report.html", IMAGES / "report.jpg")


def write_previews(previews: list[Path], target: Path) -> None:
    """Previews side by side."""
    pictures = [Image.open(path).convert("RGB") for path in previews]
    row = Image.new("RGB", (sum(picture.width for picture in pictures), pictures[0].height))
    at = 0
    for picture in pictures:
        row.paste(picture, (at, 0))
        at += picture.width
    row.save(target, **_JPEG)


def write_sheet(sheet: Path, target: Path) -> None:
    """A contact sheet, as wide as a README is."""
    picture = Image.open(sheet).convert("RGB")
    height = round(picture.height * _SHEET_PX / picture.width)
    picture.resize((_SHEET_PX, height), Image.Resampling.LANCZOS).save(target, **_JPEG)


def write_page(report: Path, target: Path) -> None:
    """The first screen of a result's page."""
    with tempfile.NamedTemporaryFile(suffix=".png") as shot, browser() as program:
        with window(program, width=1536, height=832, color_scheme="light") as at:
            at.open(report)
            at.page.wait_for_selector("#viewer.drawn", timeout=60_000)
            at.page.screenshot(path=shot.name)
            at.check()
        picture = Image.open(shot.name).convert("RGB")
        picture.resize((1200, 650), Image.Resampling.LANCZOS).save(target, **_JPEG)


if __name__ == "__main__":
    main()
