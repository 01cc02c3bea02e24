"""One message: signed as the Standard Webhooks specification has it (version 1, HMAC-SHA256), and sent once.

The signature is over `id.timestamp.body`, so that nobody can change the message, nor send an old one again unnoticed.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from importlib.metadata import version
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. id: the same however often it is sent. sent_s: seconds since 1970 of this try."""

    id: str
    sent_s: int
    body: bytes

    def signature(self, key: bytes) -> str:
        """The value of the header webhook-signature."""
        signed = f"{self.id}.{self.sent_s}.".encode() + self.body
        return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class NotTaken(Exception):
    """The receiver did not take a message. reachable: it has answered."""

    def __init__(self, reason: str, *, reachable: bool) -> None:
        super().__init__(reason)
        self.reachable = reachable


class _NoRedirect(HTTPRedirectHandler):
    """A signed message is for the address that the settings name, and no other."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """None: the redirect itself is the answer."""


# Neither a proxy of the environment nor any other scheme: what is sent goes where the setting says.
_OPENER = build_opener(ProxyHandler({}), _NoRedirect())


def post(url: str, message: Message, key: bytes, timeout_s: float) -> int:
    """Send it; the status of the answer, 200 to 299.

    Raises NotTaken, whose text holds neither the address nor the key.
    """
    request = Request(
        url,
        message.body,
        {
            "Content-Type": "application/json",
            "User-Agent": f"Meshdrop/{version('meshdrop')}",
            "webhook-id": message.id,
            "webhook-timestamp": str(message.sent_s),
            "webhook-signature": message.signature(key),
        },
        method="POST",
    )
    try:
        with _OPENER.open(request, timeout=timeout_s) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        raise NotTaken(f"it answered {error.code}", reachable=True) from None
    except URLError as error:
        raise NotTaken(f"it can't be reached: {error.reason}", reachable=False) from None
    except (OSError, HTTPException) as error:  # a time-out while it answers, or an answer that is none
        raise NotTaken(f"it does not answer: {type(error).__name__}", reachable=False) from None
