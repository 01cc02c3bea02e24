"""The schema of job.json, made from the options' model: `python -m engine.quality.job_schema` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from config.job import JobOptions

DIGEST: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}

# What the daemon adds; absent where the result was made by a command or a call.
JOB: Final = {
    "id": {**_TEXT, "pattern": "^[0-9a-z]{8}$", "description": "The job's id."},
    "bundle": {**_TEXT, "description": "The bundle's name as it was dropped."},
    "entry": {**_TEXT, "description": "The same, its bytes percent-encoded: exact for any name."},
    "inbox": {**_TEXT, "description": "The inbox's name in the settings."},
    "name": {**_TEXT, "description": "The name that the result was given."},
    "owner": {**_TEXT, "description": "Who dropped it."},
    "priority": {"type": "integer", "description": "Its priority."},
    "attempt": {"type": "integer", "minimum": 1, "description": "Which try of this bundle it was."},
    "submitted_at": {**_TIME, "description": "When the bundle was taken."},
    "started_at": {**_TIME, "description": "When the engine began; null where it never did."},
    "finished_at": {**_TIME, "description": "When the result was there."},
    "fingerprint": {**_TEXT, "description": "What the bundle's files looked like, to know it again."},
    "content_key": {**_TEXT, "description": "The same for the same images, options and version."},
    "answered_by": {**_TEXT_OR_NULL, "description": "The job whose result this is a copy of."},
    "retry_of": {**_TEXT_OR_NULL, "description": "The job that this was another try of."},
}


def job_schema() -> dict[str, Any]:
    """The schema of job.json. Its options, $defs/JobOptions, are also what job.toml may hold."""
    options = JobOptions.model_json_schema(ref_template="#/$defs/{model}")
    definitions = options.pop("$defs", {})
    file = {
        "type": "object",
        "additionalProperties": False,
        "required": ["bytes", "sha256"],
        "properties": {
            "bytes": {"type": "integer", "minimum": 0, "description": "Its length."},
            "sha256": {**DIGEST, "description": "Its digest."},
        },
    }
    properties = {
        "schema_version": {"const": 1, "description": "Version of this schema."},
        "name": {"type": "string", "description": "The bundle's name as it was dropped."},
        "options": {"$ref": "#/$defs/JobOptions", "description": "The options as they were used."},
        "notes": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What was converted on reading, in sentences.",
        },
        "files": {
            "type": "object",
            "additionalProperties": {"$ref": "#/$defs/File"},
            "description": "Each file of the result.",
        },
        "inputs": {"type": "object", "additionalProperties": DIGEST, "description": "SHA-256 of each input file."},
        "versions": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Versions of the program and what it builds on.",
        },
    }
    job = {
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "bundle", "inbox"],
        "properties": JOB,
        "description": "The job, where it came through a hot folder.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "meshdrop:job.schema.json",
        "title": "job.json",
        "description": "What was asked for, and what was made of it.",
        "type": "object",
        "required": list(properties),
        "properties": {**properties, "job": job},
        "$defs": {**definitions, "JobOptions": options, "File": file},
    }


if __name__ == "__main__":
    target = Path(__file__).parent / "schemas" / "job.schema.json"
    target.write_text(json.dumps(job_schema(), indent=2, ensure_ascii=False) + "\n", "utf-8")
