"""show, cancel, retry: one job."""

from __future__ import annotations

import getpass
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import JobNotReady, UsageError
from daemon.commands.common import ConfigOption, JobArgument, JsonOption, exit_status, find_job, opened_store

if TYPE_CHECKING:
    from daemon.store import Job, Store


def job_facts(store: Store, job: Job) -> dict[str, Any]:
    """Everything the store knows of a job, JSON-serialisable."""
    from daemon.names import shown

    def when(moment: Any) -> str | None:
        return moment.isoformat(timespec="seconds") if moment else None

    return {
        "job": job.id,
        "bundle": shown(job.entry),
        "inbox": job.inbox,
        "state": str(job.state),
        "stage": job.stage,
        "fraction": round(job.fraction, 3),
        "eta_s": job.eta_s,
        "priority": job.priority,
        "owner": job.owner,
        "attempt": job.attempt,
        "crashes": job.crashes,
        "held": {"code": job.hold_code, "reason": job.hold_reason} if job.hold_code else None,
        "verdict": job.verdict,
        "result": shown(job.result_path) if job.result_path else None,
        "bundle_at": shown(job.source),
        "answered_by": job.answered_by,
        "retry_of": job.retry_of,
        "cancel": {"at": when(job.cancel_requested_at), "by": job.cancel_by} if job.cancel_requested_at else None,
        "error": job.error,
        "notes": list(job.notes),
        "options": job.options,
        "inputs": store.inputs(job.id),
        "created_at": when(job.created_at),
        "started_at": when(job.started_at),
        "finished_at": when(job.finished_at),
        "history": [
            {
                "at": when(step.at),
                "from": str(step.before) if step.before else None,
                "to": str(step.after),
                "reason": step.reason,
                "by": step.by,
            }
            for step in store.transitions(job.id)
        ],
    }


def show(job: JobArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show all that is known of a job: state, progress, history, result, error."""
    with exit_status(), opened_store(config) as (_, store):
        facts = job_facts(store, find_job(store, job))
        if as_json:
            typer.echo(json.dumps(facts, indent=2))
        else:
            from daemon.terminal import print_facts

            print_facts(facts)


def cancel(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB...", help="Jobs, or bundles' names.")],
    config: ConfigOption = None,
) -> None:
    """Cancel jobs that have not finished; one that runs stops within seconds."""
    with exit_status(), opened_store(config) as (_, store):
        found = [find_job(store, text) for text in jobs]
        late = [job for job in found if job.finished_at is not None]
        for job in found:
            if job.finished_at is None:
                store.request_cancel(job.id, by=f"{getpass.getuser()} (command)")
                typer.echo(f"{job.id}: asked to stop.")
        if late:
            told = ", ".join(f"{job.id} ({job.state})" for job in late)
            raise JobNotReady(f"Already finished: {told}.", suggestion="There is nothing to cancel.")


def retry(job: JobArgument, config: ConfigOption = None) -> None:
    """Run a failed or cancelled job again, as a new job, from the bundle where it lies now."""
    with exit_status(), opened_store(config) as (_, store):
        found = find_job(store, job)
        if found.finished_at is None:
            raise JobNotReady(f"{found.id} has not finished: it is {found.state}.", suggestion="Wait, or cancel it.")
        new = retry_job(store, found)
        typer.echo(f"{new.id}: recorded, another try of {found.id}.")


def retry_job(store: Store, job: Job) -> Job:
    """Record another try of a finished job.

    Raises UsageError where the bundle is no longer there.
    """
    import dataclasses
    from pathlib import Path

    from daemon.store import NewJob

    if not Path(job.source).exists():
        raise UsageError(f"The bundle of {job.id} is no longer at {job.source}.", suggestion="Drop the bundle again.")
    inputs = store.inputs(job.id)
    if not inputs:
        raise UsageError(
            f"{job.id} was refused before it was taken; nothing of it was recorded.",
            suggestion="Correct the bundle: it is taken again as soon as a file of it changes.",
        )
    fields = {field.name for field in dataclasses.fields(NewJob)}
    same = {name: getattr(job, name) for name in fields if hasattr(job, name)}
    same |= {"digests": inputs, "sizes": {}, "error": None, "notes": [], "retry_of": job.id}
    (new,) = store.admit([NewJob(**same)])
    return new
