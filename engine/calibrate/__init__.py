"""Stage 3: the cameras, the depth coding and the orientation, found from the images."""

from engine.calibrate.estimate import calibrate
from engine.calibrate.refuse import explained
from engine.calibrate.result import Calibration, DepthCoding, ViewAxes

__all__ = ["Calibration", "DepthCoding", "ViewAxes", "calibrate", "explained"]
