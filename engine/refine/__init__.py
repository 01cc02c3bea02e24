"""Refinement: what is fitted to the views once all is in place."""

from __future__ import annotations

from engine.refine.texture import Refined, refine_texture

__all__ = ["Refined", "refine_texture"]
