"""Pictures for decals: letters, numbers and a few shapes, drawn with Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
SIZE = 256


def lettering(text: str, colour: Colour) -> Image.Image:
    """Text in Pillow's built-in typeface, cropped to its box."""
    font = ImageFont.load_default(200)
    left, top, right, bottom = (int(v) for v in font.getbbox(text, stroke_width=8))
    image = Image.new("RGBA", (right - left + 8, bottom - top + 8), (*colour, 0))
    ImageDraw.Draw(image).text(
        (4 - left, 4 - top), text, font=font, fill=(*colour, 255), stroke_width=8, stroke_fill=(*colour, 255)
    )
    return image


def disc(
    colour: Colour, rim: Colour | None = None, text: str = "", text_colour: Colour = (255, 255, 255)
) -> Image.Image:
    """A disc, with a rim and a text in it where they are given."""
    image = Image.new("RGBA", (SIZE, SIZE), (*(rim or colour), 0))
    draw = ImageDraw.Draw(image)
    draw.ellipse((4, 4, SIZE - 5, SIZE - 5), fill=(*(rim or colour), 255))
    if rim:
        draw.ellipse((24, 24, SIZE - 25, SIZE - 25), fill=(*colour, 255))
    if text:
        mark = lettering(text, text_colour)
        scale = 0.6 * SIZE / max(mark.size)
        mark = mark.resize((round(mark.width * scale), round(mark.height * scale)), Image.Resampling.LANCZOS)
        image.alpha_composite(mark, ((SIZE - mark.width) // 2, (SIZE - mark.height) // 2))
    return image


def star(colour: Colour, points: int = 5) -> Image.Image:
    """A star."""
    image = Image.new("RGBA", (2 * SIZE, 2 * SIZE), (*colour, 0))
    corners = []
    for k in range(2 * points):
        radius = SIZE * (0.97 if k % 2 == 0 else 0.42)
        angle = math.pi * k / points
        corners.append((SIZE + radius * math.sin(angle), SIZE - radius * math.cos(angle)))
    ImageDraw.Draw(image).polygon(corners, fill=(*colour, 255))
    return image.resize((SIZE, SIZE), Image.Resampling.BOX)


def gauge(needle_deg: float) -> Image.Image:
    """A round instrument with its needle."""
    image = disc((244, 241, 230), (60, 60, 66))
    draw = ImageDraw.Draw(image)
    centre = SIZE / 2
    for k in range(9):
        angle = math.radians(-120 + 30 * k)
        s, c = math.sin(angle), -math.cos(angle)
        colour = (200, 40, 40, 255) if k > 6 else (40, 40, 46, 255)
        draw.line([(centre + 78 * s, centre + 78 * c), (centre + 96 * s, centre + 96 * c)], fill=colour, width=8)
    angle = math.radians(needle_deg)
    draw.line(
        [(centre, centre), (centre + 72 * math.sin(angle), centre - 72 * math.cos(angle))], (210, 50, 40, 255), width=10
    )
    draw.ellipse((centre - 14, centre - 14, centre + 14, centre + 14), fill=(40, 40, 46, 255))
    return image


def flower(petals: Colour, middle: Colour, leaf: Colour) -> Image.Image:
    """A flower on a stalk with one leaf."""
    image = Image.new("RGBA", (SIZE, 2 * SIZE), (*leaf, 0))
    draw = ImageDraw.Draw(image)
    draw.line([(128, 150), (120, 260), (140, 380), (132, 500)], fill=(*leaf, 255), width=16, joint="curve")
    draw.polygon([(136, 390), (180, 310), (240, 290), (226, 350), (180, 392)], fill=(*leaf, 255))
    for k in range(6):
        angle = math.radians(60 * k + 12)
        x, y = 128 + 62 * math.sin(angle), 128 - 62 * math.cos(angle)
        draw.ellipse((x - 46, y - 46, x + 46, y + 46), fill=(*petals, 255))
    draw.ellipse((90, 90, 166, 166), fill=(*middle, 255))
    return image


def face(lines: Sequence[str] = ("eyes", "mouth")) -> Image.Image:
    """A robot's face: two different eyes, a grille for a mouth."""
    image = Image.new("RGBA", (SIZE * 2, SIZE), (30, 40, 52, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((6, 6, SIZE * 2 - 7, SIZE - 7), radius=60, fill=(30, 40, 52, 255))
    if "eyes" in lines:
        draw.ellipse((70, 40, 200, 170), fill=(90, 225, 235, 255))
        draw.ellipse((108, 78, 162, 132), fill=(14, 60, 80, 255))
        draw.rounded_rectangle((318, 70, 446, 140), radius=30, fill=(250, 190, 70, 255))
        draw.ellipse((360, 84, 404, 128), fill=(110, 50, 10, 255))
    if "mouth" in lines:
        for k in range(6):
            draw.rounded_rectangle((180 + 26 * k, 190, 196 + 26 * k, 228), radius=6, fill=(220, 226, 230, 255))
    return image
