"""Refinement: what is fitted to the views once all is in place."""

from __future__ import annotations

from engine.refine.stage import Refinement, refine_shape
from engine.refine.texture import Refined, refine_texture

__all__ = ["Refined", "Refinement", "refine_shape", "refine_texture"]
