from __future__ import annotations

from tests.service.conftest import daemon, make_daemon  # noqa: F401 - fixtures
