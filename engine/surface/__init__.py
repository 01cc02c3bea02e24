"""Stage 6: extract the mesh from the signed distance volume."""

from engine.surface.stage import extract_surface

__all__ = ["extract_surface"]
