"""Stage 7: charts, labels, baking, seams, filling."""

from __future__ import annotations

from engine.texture.bake import Texturing, texture

__all__ = ["Texturing", "texture"]
