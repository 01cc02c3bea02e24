"""Every step of the daemon at which something becomes durable, by the name that `tests.proof.victim` gives it.

A kill strikes before and after each, and in the middle of each write. What a bundle passes and is not named here fails
the full run of the crash points: a new step is named, and so is killed at.
"""

from __future__ import annotations

from typing import Final

STEPS: Final[dict[str, tuple[str, ...]]] = {
    # A first start: folders become roots.
    "start": (
        "lock",  # who holds it, written into the lock's file
        "mkdir inbox/.meshdrop",
        "write inbox/.meshdrop/.root.json.<token>.tmp",
        "rename inbox/.meshdrop/.root.json.<token>.tmp -> inbox/.meshdrop/root.json",
        "mkdir outbox/.meshdrop",
        "write outbox/.meshdrop/.root.json.<token>.tmp",
        "rename outbox/.meshdrop/.root.json.<token>.tmp -> outbox/.meshdrop/root.json",
        "write state/.roots.json.<token>.tmp",
        "rename state/.roots.json.<token>.tmp -> state/roots.json",
        "write state/.worker.json.<token>.tmp",
        "rename state/.worker.json.<token>.tmp -> state/worker.json",
        "write inbox/.meshdrop/canary-<id>",
        "unlink inbox/.meshdrop/canary-<id>",
        "commit beat",
    ),
    # A folder on its way: recorded, copied, run, packaged, published, told, archived.
    "folder": (
        "commit admit",
        "mkdir state/spool",
        "mkdir state/spool/<id>",
        "mkdir state/spool/<id>/input.partial",
        "mkdir state/spool/<id>/input.partial/multi_views",
        "mkdir state/spool/<id>/input.partial/depth_renders",
        "write state/spool/<id>/input.partial/multi_views/<view>.png",
        "write state/spool/<id>/input.partial/depth_renders/<view>.png",
        "write state/spool/<id>/input.partial/job.toml",
        "fsync_folder state/spool/<id>/input.partial/multi_views",
        "fsync_folder state/spool/<id>/input.partial/depth_renders",
        "fsync_folder state/spool/<id>/input.partial",
        "rename state/spool/<id>/input.partial -> state/spool/<id>/input",
        "fsync_folder state/spool/<id>",
        "fsync_folder state/spool",
        "commit update spooled",
        "commit transition to PROGRESS",
        "write state/spool/<id>/result/.job.json.<token>.tmp",
        "rename state/spool/<id>/result/.job.json.<token>.tmp -> state/spool/<id>/result/job.json",
        "write state/spool/<id>/result/<bundle>.zip",
        "fsync_folder state/spool/<id>/result",
        "write state/spool/<id>/.done.json.<token>.tmp",
        "rename state/spool/<id>/.done.json.<token>.tmp -> state/spool/<id>/done.json",
        "commit transition to PUBLISHING",
        "mkdir outbox/.partial-<id>",
        "chmod outbox/.partial-<id>",
        "write outbox/.partial-<id>/<file>",
        "chmod outbox/.partial-<id>/<file>",
        "write outbox/.partial-<id>/<bundle>.zip",
        "chmod outbox/.partial-<id>/<bundle>.zip",
        "write outbox/.partial-<id>/job.json",
        "chmod outbox/.partial-<id>/job.json",
        "write outbox/.partial-<id>/quality.json",
        "chmod outbox/.partial-<id>/quality.json",
        "fsync_folder outbox/.partial-<id>",
        "rename outbox/.partial-<id> -> outbox/<bundle>",
        "fsync_folder outbox",
        "write outbox/.<bundle>.latest.json.<token>.tmp",
        "rename outbox/.<bundle>.latest.json.<token>.tmp -> outbox/<bundle>.latest.json",
        "chmod outbox/<bundle>.latest.json",
        "commit transition to SUCCESS",
        "remove_tree state/spool/<id>",
        "write inbox/<bundle>/.STATUS.txt.<token>.tmp",
        "rename inbox/<bundle>/.STATUS.txt.<token>.tmp -> inbox/<bundle>/STATUS.txt",
        "chmod inbox/<bundle>/STATUS.txt",
        "mkdir inbox/_done",
        "chmod inbox/_done",
        "rename inbox/<bundle> -> inbox/_done/<bundle>-<id>",
        "commit update source",
        "commit remember fingerprint job note used_markers",
        "write outbox/.status.json.<token>.tmp",
        "rename outbox/.status.json.<token>.tmp -> outbox/status.json",
        "chmod outbox/status.json",
        "write outbox/.index.html.<token>.tmp",
        "rename outbox/.index.html.<token>.tmp -> outbox/index.html",
        "chmod outbox/index.html",
    ),
    # A zip: its notices lie beside it.
    "zip": (
        "write inbox/.<bundle>.STATUS.txt.<token>.tmp",
        "rename inbox/.<bundle>.STATUS.txt.<token>.tmp -> inbox/<bundle>.STATUS.txt",
        "chmod inbox/<bundle>.STATUS.txt",
        "rename inbox/<bundle>.zip -> inbox/_done/<bundle>-<id>.zip",
        "unlink inbox/<bundle>.STATUS.txt",
    ),
    # The same content under another name: a copy of the result, made in the spool.
    "answered": (
        "mkdir state/spool/<id>/result",
        "write state/spool/<id>/result/<file>",
        "write state/spool/<id>/result/job.json",
        "write state/spool/<id>/result/quality.json",
        "commit update manifest",
    ),
    # A bundle that is refused: its error is its result.
    "refused": (
        "write state/spool/<id>/result/.error.json.<token>.tmp",
        "rename state/spool/<id>/result/.error.json.<token>.tmp -> state/spool/<id>/result/error.json",
        "write outbox/.partial-<id>/error.json",
        "chmod outbox/.partial-<id>/error.json",
        "rename outbox/.partial-<id> -> outbox/<bundle>.failed-<id>",
        "commit transition to FAILURE",
        "write inbox/<bundle>/.error.json.<token>.tmp",
        "rename inbox/<bundle>/.error.json.<token>.tmp -> inbox/<bundle>/error.json",
        "chmod inbox/<bundle>/error.json",
    ),
    # A bundle that is cancelled before it is taken.
    "cancelled": (
        "commit transition to CANCELLED",
        "unlink inbox/<bundle>/.cancel",
        "mkdir inbox/_cancelled",
        "chmod inbox/_cancelled",
        "rename inbox/<bundle> -> inbox/_cancelled/<bundle>-<id>",
    ),
}
"""The kind of bundle that passes a step, and the steps that it passes before any other kind does."""


def all_steps() -> list[tuple[str, str]]:
    """Each step with the kind of bundle that passes it."""
    return [(kind, step) for kind, steps in STEPS.items() for step in steps]


def moments(step: str) -> tuple[str, ...]:
    """When it can be struck."""
    if step.startswith("write"):
        return ("created", "half", "done") if "canary" not in step else ("created", "done")
    return ("before", "after")
