"""`python -m engine.quality.job_schema` writes schemas/job.schema.json anew from config/job.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from config.job import JobOptions


def job_schema() -> dict[str, Any]:
    """The schema of job.toml's content, as the model of the job's options states it."""
    model = JobOptions.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "meshdrop:job.schema.json",
        **model,
        "title": "job.toml",
    }


if __name__ == "__main__":
    target = Path(__file__).parent / "schemas" / "job.schema.json"
    target.write_text(json.dumps(job_schema(), indent=2, ensure_ascii=False) + "\n", "utf-8")
