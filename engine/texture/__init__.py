"""Stage 7: charts, labels, baking, seams, filling."""

from __future__ import annotations

from engine.texture.bake import Texturing, atlas_fragments, texture
from engine.texture.selection import GRAZING_COSINE, SEEN_COSINE

__all__ = ["GRAZING_COSINE", "SEEN_COSINE", "Texturing", "atlas_fragments", "texture"]
