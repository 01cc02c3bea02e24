"""What a bundle's files are called."""

from __future__ import annotations

from typing import Final, Literal, get_args

ViewName = Literal["front", "back", "left", "right", "top", "bottom"]
VIEW_NAMES: Final[tuple[ViewName, ...]] = get_args(ViewName)
RGB_DIR: Final = "multi_views"
DEPTH_DIR: Final = "depth_renders"
