"""job.toml as a bundle has it, what a job really runs with, and the key that tells the same work from other work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from config.job import JobOptions, parse_job_options
from config.sections import Inbox, Settings
from config.tables import parse_toml

_NO_MATTER: Final = ("priority", "timeout_s", "force")
"""What a job asks for that changes nothing in its result."""


def parse_job_file(data: bytes, name: str = "job.toml") -> JobOptions:
    """Check a job.toml's bytes; a byte-order mark is fine. Raises ValidationFailed with everything that is wrong."""
    return parse_job_options(parse_toml(data, name), name)


def effective_options(stated: Mapping[str, Any], inbox: Inbox, *, force: bool = False) -> dict[str, Any]:
    """The options that a job is recorded with, as JSON: what its job.toml states, and the inbox's priority.

    stated: what job.toml states, checked. Only what is stated, or comes from the inbox, is in it: the settings'
    defaults are put in where the job runs.
    """
    options = dict(stated)
    options["priority"] = min(int(options.get("priority", inbox.priority)), inbox.max_priority)
    if force:
        options["force"] = True
    return JobOptions.model_validate(options).model_dump(mode="json", exclude_unset=True)


def content_key(digests: Mapping[str, str], options: Mapping[str, Any], settings: Settings, version: str) -> str:
    """A digest of all that decides a result: the images, the options with the settings' defaults, the version.

    digests: SHA-256 of the twelve, by the layout's names; other names don't count.
    """
    whole = JobOptions.model_validate(options)
    asked = {key: value for key, value in whole.model_dump(mode="json").items() if key not in _NO_MATTER}
    stated = whole.thresholds.model_dump(exclude_unset=True) if "thresholds" in whole.model_fields_set else {}
    asked["thresholds"] = {**settings.thresholds.model_dump(), **stated}
    preset = getattr(settings.quality, whole.quality).model_dump()
    for key, value in preset.items():
        if asked.get(key) is None:
            asked[key] = value
    images = {key: digest for key, digest in digests.items() if "/" in key}
    text = json.dumps([images, asked, version], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
