"""One picture to judge a result by: input, render and difference of the six views."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from config.bundle_layout import VIEW_NAMES

if TYPE_CHECKING:
    from engine.quality import Evaluation

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
NAME = "contact_sheet.png"
TILE_PX = 320
_GAP, _MARGIN, _HEAD, _SIDE = 10, 24, 92, 40
_PAPER, _INK, _FAINT = (250, 250, 248), (32, 34, 38), (112, 116, 122)
_DIFFERENCE_FULL = 96
"""A mean absolute difference of this many levels, of 255, has the last colour of the scale."""


def write_contact_sheet(evaluation: Evaluation, out: Path) -> list[str]:
    """Write contact_sheet.png from an evaluation's thumbnails and figures; returns its name in a list."""
    rows = ("input", "render", "difference")
    width = _MARGIN * 2 + _SIDE + len(VIEW_NAMES) * (TILE_PX + _GAP) - _GAP
    height = _MARGIN * 2 + _HEAD + len(rows) * (TILE_PX + _GAP) - _GAP + 34
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(26), ImageFont.load_default(18)
    head = evaluation.headline
    inside = evaluation.domain("inside")
    draw.text((_MARGIN + _SIDE, _MARGIN - 6), "Input and result", font=large, fill=_INK)
    summary = (
        f"mean PSNR {head.psnr:.2f} dB, SSIM {head.ssim:.4f}; inside the object {inside.psnr:.2f} dB, {inside.ssim:.3f}"
    )
    draw.text((width - _MARGIN, _MARGIN), summary, font=small, fill=_FAINT, anchor="ra")
    for column, view in enumerate(VIEW_NAMES):
        x = _MARGIN + _SIDE + column * (TILE_PX + _GAP)
        figures, thumbnails = evaluation.views[view], evaluation.thumbnails[view]
        draw.text((x, _MARGIN + 42), view, font=large, fill=_INK)
        text = f"{figures.psnr:.1f} dB   {figures.ssim:.3f}"
        draw.text((x + TILE_PX, _MARGIN + 50), text, font=small, fill=_FAINT, anchor="ra")
        for row, pixels in enumerate((thumbnails.delivered, thumbnails.render, heat(thumbnails.difference))):
            y = _MARGIN + _HEAD + row * (TILE_PX + _GAP)
            tile = Image.fromarray(pixels).resize((TILE_PX, TILE_PX), Image.Resampling.BOX)
            sheet.paste(tile, (x, y))
            draw.rectangle((x, y, x + TILE_PX - 1, y + TILE_PX - 1), outline=(222, 222, 218))
    for row, label in enumerate(rows):
        y = _MARGIN + _HEAD + row * (TILE_PX + _GAP) + TILE_PX // 2
        _sideways(sheet, label, small, (_MARGIN + 4, y))
    _scale(sheet, draw, small, (width - _MARGIN, height - _MARGIN - 18))
    sheet.save(out / NAME, compress_level=4)
    return [NAME]


def heat(difference: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W, 3] uint8 colours of a difference [H, W] uint8: white, yellow, red, black."""
    stops = np.array([0, 0.12, 0.35, 0.7, 1.0]) * _DIFFERENCE_FULL
    colours = np.array([[255, 255, 255], [255, 236, 160], [246, 146, 60], [196, 36, 48], [60, 8, 40]], np.float64)
    table = np.stack([np.interp(np.arange(256), stops, colours[:, c]) for c in range(3)], -1)
    return np.asarray((table + 0.5).astype(np.uint8)[difference])


def _sideways(sheet: Image.Image, text: str, font: Font, at: tuple[int, int]) -> None:
    left, top, right, bottom = (int(v) for v in font.getbbox(text))
    label = Image.new("RGB", (right - left + 4, bottom - top + 8), _PAPER)
    ImageDraw.Draw(label).text((2 - left, 4 - top), text, font=font, fill=_FAINT)
    label = label.transpose(Image.Transpose.ROTATE_90)
    sheet.paste(label, (at[0], at[1] - label.height // 2))


def _scale(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: Font,
    right_top: tuple[int, int],
) -> None:
    """The difference's colours and what they stand for."""
    x1, y = right_top
    steps = np.broadcast_to(np.linspace(0, _DIFFERENCE_FULL, 220).astype(np.uint8), (16, 220))
    draw.text((x1, y - 2), f"{_DIFFERENCE_FULL}+ levels", font=font, fill=_FAINT, anchor="ra")
    left = x1 - 110 - 220
    sheet.paste(Image.fromarray(heat(np.ascontiguousarray(steps))), (left, y))
    draw.rectangle((left, y, left + 219, y + 15), outline=(200, 200, 196))
    draw.text((left - 10, y - 2), "difference  0", font=font, fill=_FAINT, anchor="ra")
