"""Whether the webhook's settings can work together, and its secret."""

from __future__ import annotations

import base64
import binascii
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from config.errors import ValidationFailed
from config.sections import Settings
from daemon.files import Files

_PREFIX: Final = "whsec_"
_LARGEST_SECRET: Final = 4096
_SHORTEST_KEY_BYTES: Final = 16


def check_webhook(settings: Settings) -> None:
    """Raise ValidationFailed where nobody could be told, or be told in the clear. The file is not read."""
    webhook = settings.webhook
    if not webhook.url:
        return
    try:
        parts = urlsplit(webhook.url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")  # the name as it is asked for; "" and labels of more than 63 characters are none
    except ValueError as error:
        raise ValidationFailed(f"webhook.url is no address: {error}.") from error
    if parts.scheme not in ("https", "http") or not host:
        raise ValidationFailed("webhook.url must begin with https:// and name a host.")
    # urlsplit leaves out line breaks and such, so that the text itself is looked at
    if not (parts.path + parts.query).isascii() or any(
        char.isspace() or not char.isprintable() for char in webhook.url
    ):
        raise ValidationFailed(
            "webhook.url holds a space, a line break or a letter that no address may hold.",
            suggestion="Write such characters as %20, %C3%BC and so on.",
        )
    if parts.username is not None or parts.password is not None:
        raise ValidationFailed("webhook.url holds a user name or a password.", suggestion="Use webhook.secret.")
    if parts.scheme == "http" and not webhook.allow_http and not _is_here(host):
        raise ValidationFailed(
            "webhook.url begins with http://: everybody on the way could read and change what is sent.",
            suggestion="Use https://, or set webhook.allow_http = true.",
        )
    if not webhook.secret and webhook.secret_file is None:
        raise ValidationFailed(
            "webhook.url is set, but no secret: the receiver could not know who calls.",
            suggestion="Set webhook.secret_file (or webhook.secret) to what the receiver has too.",
        )
    if webhook.secret:
        _key(webhook.secret, "webhook.secret")


def read_key(settings: Settings, files: Files) -> bytes:
    """The key that messages are signed with. Raises ValidationFailed where there is none that can be used."""
    webhook = settings.webhook
    if webhook.secret_file is None:
        return _key(webhook.secret, "webhook.secret")
    where = f"webhook.secret_file ({webhook.secret_file})"
    try:
        # Secrets of systemd and of containers are often links: followed, as the setting's author means it.
        with files.reading(webhook.secret_file.resolve()) as file:
            text = file.read(_LARGEST_SECRET).decode("utf-8").strip()
    except OSError as error:
        raise ValidationFailed(f"{where} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ValidationFailed(f"{where} is no text.") from error
    return _key(text, where)


def _key(secret: str, where: str) -> bytes:
    """The bytes of a secret: base64 after `whsec_`, as the Standard Webhooks have it, else the text itself."""
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error as error:
            raise ValidationFailed(f"{where} begins with {_PREFIX}, but base64 does not follow.") from error
    else:
        key = secret.encode()
    if len(key) < _SHORTEST_KEY_BYTES:
        raise ValidationFailed(
            f"{where} is too short: {_SHORTEST_KEY_BYTES} bytes at least.",
            suggestion="`openssl rand -hex 32` makes one.",
        )
    return key


def _is_here(host: str) -> bool:
    """Whether an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
