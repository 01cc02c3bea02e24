"""Samples: bundles of procedural objects with their ground truth, to try the program and to test it."""

from engine.sample.coding import ENCODINGS, Encoding
from engine.sample.files import make_sample, novel_cameras
from engine.sample.rig import LAYOUTS, Layout, distance_to_fit
from engine.sample.scene import (
    BACKGROUNDS,
    OBJECT_NAMES,
    Background,
    ObjectName,
    SampleObject,
    Scene,
    sample_scene,
)

__all__ = [
    "BACKGROUNDS",
    "ENCODINGS",
    "LAYOUTS",
    "OBJECT_NAMES",
    "Background",
    "Encoding",
    "Layout",
    "ObjectName",
    "SampleObject",
    "Scene",
    "distance_to_fit",
    "make_sample",
    "novel_cameras",
    "sample_scene",
]
