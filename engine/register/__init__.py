"""Stage 5: a bounded per-view correction that brings the RGB onto the geometry and onto the other views.

The RGB view and the depth render should show the same picture. Where the RGB was repainted they do not: a similarity
per view takes the common part of that away, judged by outlines and colours together.
"""

from engine.register.similarity import MAX_ROTATION_DEG, MAX_SCALE, MAX_SHIFT
from engine.register.stage import MIN_ERROR, MIN_GAIN, register

__all__ = ["MAX_ROTATION_DEG", "MAX_SCALE", "MAX_SHIFT", "MIN_ERROR", "MIN_GAIN", "register"]
