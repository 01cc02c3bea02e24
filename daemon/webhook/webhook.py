"""The thread that tells a webhook: one message at a time, each again until it is taken or given up.

What is to be told stands in the store: a message whose answer was never seen, because the daemon was killed, is sent
again with the same id. No job waits for any of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog

from config.errors import JobNotFound, ValidationFailed
from config.sections import Settings
from daemon.clock import Clock
from daemon.files import Files
from daemon.states import State
from daemon.webhook.settings import check_webhook, read_key

if TYPE_CHECKING:
    from daemon.store import Delivery, Store

log = structlog.get_logger(__name__)

TOLD: Final = frozenset({State.SUCCESS, State.FAILURE, State.CANCELLED, State.HELD})
_FIRST_RETRY_S: Final = 5.0
_LAST_RETRY_S: Final = 3600.0
_LONGEST_PAUSE_S: Final = 60.0
_IDLE_S: Final = 5.0
_MOST: Final = 100


class Webhook:
    """Tells `webhook.url` of the steps into these states."""

    def __init__(self, settings: Settings, store: Store, clock: Clock, files: Files) -> None:
        self._settings, self._store, self._clock, self._files = settings, store, clock, files
        self._due_s: dict[int, float] = {}  # a start begins with all of them due
        self._pause_until_s = float("-inf")
        self._complaint = ""

    def step(self, now_s: float) -> float:
        """Send one message that is due; the seconds until another may be."""
        webhook = self._settings.webhook
        if not webhook.url:
            self._store.forget_deliveries()
            return _IDLE_S
        self._store.queue_deliveries(TOLD)
        waiting = self._store.deliveries(_MOST)
        self._due_s = {step.number: self._due_s.get(step.number, now_s) for step in waiting}
        if now_s < self._pause_until_s:
            return self._pause_until_s - now_s
        for step in waiting:
            if self._due_s[step.number] <= now_s:
                return self._try(step, now_s)
        return min((due_s - now_s for due_s in self._due_s.values()), default=_IDLE_S)

    def _try(self, step: Delivery, now_s: float) -> float:
        from daemon.webhook.event import event_of
        from daemon.webhook.post import Message, NotTaken, post

        webhook = self._settings.webhook
        try:
            check_webhook(self._settings)
            key = read_key(self._settings, self._files)
        except ValidationFailed as error:
            if self._complaint != error.message:
                log.error("webhook.unusable", message=error.message, remedy=error.suggestion)
            self._complaint = error.message
            self._pause_until_s = now_s + _LONGEST_PAUSE_S
            return _LONGEST_PAUSE_S
        self._complaint = ""
        try:
            job = self._store.job(step.job)
        except JobNotFound:
            self._store.close_delivery(step.number)
            return 0.0
        event = event_of(step, job, self._settings)
        message = Message(
            f"{step.job}-{step.number}",
            int(self._clock.now().timestamp()),
            json.dumps(event.model_dump(mode="json"), separators=(",", ":")).encode(),
        )
        facts = {"type": event.type, "job": step.job, "host": urlsplit(webhook.url).hostname}
        try:
            status = post(webhook.url, message, key, webhook.timeout_s)
        except NotTaken as error:
            return self._later(step, str(error), facts, reachable=error.reachable)
        self._store.close_delivery(step.number)
        log.info("webhook.told", **facts, status=status)
        return 0.0

    def _later(self, step: Delivery, reason: str, facts: dict[str, str | None], *, reachable: bool) -> float:
        tries, now_s = step.attempts + 1, self._clock.monotonic_s()
        if tries >= self._settings.webhook.attempts:
            self._store.close_delivery(step.number)
            log.error("webhook.given_up", **facts, reason=reason, tries=tries)
            return 0.0
        self._store.count_attempt(step.number)
        delay_s = min(_FIRST_RETRY_S * 2 ** min(step.attempts, 20), _LAST_RETRY_S)
        self._due_s[step.number] = now_s + delay_s
        log.warning("webhook.not_taken", **facts, reason=reason, tries=tries, again_in_s=delay_s)
        if not reachable:  # the others would wait for the same
            self._pause_until_s = now_s + min(delay_s, _LONGEST_PAUSE_S)
            return self._pause_until_s - now_s
        return 0.0
