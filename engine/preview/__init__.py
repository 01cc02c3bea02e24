"""Stage 9: pictures for people."""

from engine.preview.contact_sheet import write_contact_sheet
from engine.preview.views import write_previews

__all__ = ["write_contact_sheet", "write_previews"]
