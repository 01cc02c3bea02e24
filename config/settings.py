"""Every setting: its name, default, meaning and check; and where settings come from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.tables import Table

MEGABYTE = 1 << 20


class Limits(Table):
    """What a bundle may weigh and measure."""

    file_mb: Annotated[float, Field(gt=0)] = 20.0
    bundle_mb: Annotated[float, Field(gt=0)] = 200.0
    min_size_px: Annotated[int, Field(ge=16)] = 256
    max_size_px: Annotated[int, Field(le=32768)] = 8192
