"""The schema of status.json, made from its model: `python -m daemon.status.schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from daemon.status.model import Status

SCHEMA_FILE: Final = Path(__file__).with_name("status.schema.json")


def status_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of status.json and `meshdrop status --json`."""
    schema = Status.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "meshdrop:status.schema.json", **schema}


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json.dumps(status_schema(), indent=2, ensure_ascii=False) + "\n", "utf-8")
