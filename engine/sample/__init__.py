"""Samples: bundles of procedural objects with their ground truth, to try the program and to test it."""

from engine.sample.coding import ENCODINGS, Encoding
from engine.sample.files import make_sample, novel_cameras
from engine.sample.lighting import LIGHTS, Light
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
    "LIGHTS",
    "OBJECT_NAMES",
    "Background",
    "Encoding",
    "Layout",
    "Light",
    "ObjectName",
    "SampleObject",
    "Scene",
    "distance_to_fit",
    "make_sample",
    "novel_cameras",
    "sample_scene",
]
