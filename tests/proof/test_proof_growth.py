"""What a daemon keeps does not grow with the bundles that it has seen. Objects are counted: nothing blurs them."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
import structlog

from tests.proof.house import House, scratch


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def objects_of_the_daemon() -> Counter[str]:
    """How many there are of each class of the daemon's."""
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    return Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if "daemon." in str(kind.__module__))


def test_bundles_that_are_put_away_leave_nothing_behind() -> None:
    """Folders and zips, good, poor, refused and cancelled ones: the last leave what those before have left."""
    with scratch() as folder:
        house = House(folder, failed={"stay": 5.0})
        try:
            house.begin()
            left: list[Counter[str]] = []
            for batch in range(3):
                for number in range(6):
                    name = f"b{batch}-{number}" + (".zip" if number % 3 == 1 else "")
                    words = {"verdict": "failure"} if number == 0 else {}
                    made = house.drop(name, job=f"seed = {6 * batch + number}\n", **words)
                    if number == 3:
                        (made / ".cancel").touch()
                    if number == 2:
                        (made / "depth_renders" / "top.png").write_bytes(b"\xff\xd8\xff\xe0 a JPEG")
                assert house.drive(lambda: house.idle(6 * (batch + 1)))  # noqa: B023 - called here alone
                house.drive(lambda: False, 30.0)
                assert {path.name[0] for path in house.inbox.iterdir()} == {".", "_"}, "something was not put away"
                left.append(objects_of_the_daemon())
            grown = {kind: (left[1][kind], count) for kind, count in left[2].items() if count > left[1][kind]}
            assert not grown
        finally:
            house.close()
