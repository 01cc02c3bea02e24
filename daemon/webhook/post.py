"""One message: signed as the Standard Webhooks specification has it (version 1, HMAC-SHA256), and sent once.

The signature is over `id.timestamp.body`, so that nobody can change the message, nor send an old one again unnoticed.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.metadata import version
from urllib.parse import urlsplit


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


def post(url: str, message: Message, key: bytes, timeout_s: float) -> int:
    """Send it; the status of the answer, 200 to 299.

    What is sent goes where the setting says: neither to a proxy of the environment, nor where a redirect points, of
    which nothing is read but its number. timeout_s: for reaching the receiver, and once more for its whole answer.

    Raises NotTaken, whose text holds neither the address nor the key.
    """
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Meshdrop/{version('meshdrop')}",
        "Connection": "close",
        "webhook-id": message.id,
        "webhook-timestamp": str(message.sent_s),
        "webhook-signature": message.signature(key),
    }
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
        connection.connect()
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a name that is none
        raise NotTaken(f"it can't be reached: {error}", reachable=False) from None
    # The time-out of a socket begins anew with each byte: one that drips would hold the thread for ever.
    late = threading.Timer(timeout_s, _hang_up, (connection.sock,))
    late.daemon = True
    late.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, message.body, headers)
        status = connection.getresponse().status
    except (OSError, HTTPException, ValueError) as error:  # a time-out while it answers, or an answer that is none
        raise NotTaken(f"it does not answer: {type(error).__name__}", reachable=False) from None
    finally:
        late.cancel()
        connection.close()
    if not 200 <= status < 300:
        raise NotTaken(f"it answered {status}", reachable=True)
    return status


def _hang_up(connected: socket.socket) -> None:
    """End a connection for whoever reads from it; what TLS would say on leaving is left out."""
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
