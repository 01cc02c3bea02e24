"""Stage 7b, on request: light and looks taken apart."""

from __future__ import annotations

from engine.materials.stage import Materials, separate

__all__ = ["Materials", "separate"]
