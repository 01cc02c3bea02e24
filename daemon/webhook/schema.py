"""The schema of what a webhook is told, made from its model: `python -m daemon.webhook.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from daemon.webhook.event import Event

SCHEMA_FILE: Final = Path(__file__).with_name("webhook.schema.json")


def event_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what is sent."""
    schema = Event.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "meshdrop:webhook.schema.json", **schema}


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json.dumps(event_schema(), indent=2, ensure_ascii=False) + "\n", "utf-8")
