"""Stage 9: pictures for people."""

from engine.preview.contact_sheet import heat, write_contact_sheet
from engine.preview.studio import DISTANCE_RADII, ELEVATION_DEG, FOV_DEG
from engine.preview.turntable import FIRST_AZIMUTH_DEG, THUMBNAIL, TURNTABLE
from engine.preview.views import Previews, write_previews

__all__ = [
    "DISTANCE_RADII",
    "ELEVATION_DEG",
    "FIRST_AZIMUTH_DEG",
    "FOV_DEG",
    "THUMBNAIL",
    "TURNTABLE",
    "Previews",
    "heat",
    "write_contact_sheet",
    "write_previews",
]
