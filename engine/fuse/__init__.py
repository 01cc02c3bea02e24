"""Stage 4: fuse the depth renders into a signed distance volume."""

from engine.fuse.result import Fusion, SignedDistanceVolume, depth_error
from engine.fuse.stage import fuse

__all__ = ["Fusion", "SignedDistanceVolume", "depth_error", "fuse"]
