"""The daemon with the stand-in for an engine: `python -m tests.daemon_stand_in.service SETTINGS [--until-idle]`."""

from __future__ import annotations

import sys
from pathlib import Path

from config.errors import MeshdropError
from config.settings import load_settings
from daemon.clock import SystemClock
from daemon.files import Files
from daemon.logs import configure_logs
from daemon.service import Service
from tests.daemon_stand_in import COMMAND


def main() -> int:
    file = Path(sys.argv[1])

    def settings():  # type: ignore[no-untyped-def]
        return load_settings(file, environment={}, folder=file.parent, system_file=file.parent / "none.toml")

    configure_logs("json", "debug")
    try:
        Service(
            settings(),
            SystemClock(),
            Files(),
            reload=settings,
            worker_command=COMMAND,
            until_idle="--until-idle" in sys.argv,
        ).run()
    except MeshdropError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
