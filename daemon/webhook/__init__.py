"""Tells an address of yours that a job has ended or is held. Off until `webhook.url` is set."""

from daemon.webhook.settings import check_webhook
from daemon.webhook.webhook import Webhook

__all__ = ["Webhook", "check_webhook"]
