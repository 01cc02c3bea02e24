"""The GPU is taken for a job and given back; one that is missing or in use holds the queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.locks import FileLock, gpu_lock_path
from daemon.runner.gpu import Gpu, first_gpu
from daemon.states import State
from tests.runner.runner_house import FakeClock, House


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    for number, uuid in enumerate(("GPU-aaaa-1", "GPU-bbbb-2")):
        card = tmp_path / "gpus" / f"0000:0{number}:00.0"
        card.mkdir(parents=True)
        (card / "information").write_text(f"Model: \t\t NVIDIA\nGPU UUID: \t {uuid}-{tmp_path.name}\n")
    return tmp_path / "gpus"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "house", clock=FakeClock(), fake=True, engine={"device": "cuda"})
    yield made
    made.close()


@pytest.mark.parametrize(
    ("visible", "found"), [(None, "GPU-aaaa"), ("1", "GPU-bbbb"), ("GPU-bbbb,0", "GPU-bbbb"), ("", None), ("7", None)]
)
def test_the_gpu_is_the_one_that_cuda_programs_see(driver: Path, visible: str | None, found: str | None) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    gpu = first_gpu(driver, environment)
    assert gpu is None if found is None else gpu is not None and gpu.startswith(found)
    assert first_gpu(driver / "nowhere", environment) is None


def test_a_missing_gpu_holds_the_queue(house: House, driver: Path) -> None:
    house.runner._gpu = Gpu(house.settings, house.files, driver / "nowhere", {})
    job, other = house.admit(), house.admit("other", seed=1)
    for _ in range(40):
        house.step(5)
    assert house.job(job).hold_code == "GPU_UNAVAILABLE"
    assert house.path(job) == ["PENDING", "HELD"]
    assert house.job(other).state is State.PENDING
    house.runner._gpu = Gpu(house.settings, house.files, driver, {})
    house.step(31)
    house.begin(job)
    gpu_lock_path(str(first_gpu(driver, {}))).unlink()


def test_a_gpu_in_use_is_waited_for_and_given_back(house: House, driver: Path) -> None:
    gpu = first_gpu(driver, {})
    assert gpu is not None
    house.runner._gpu = Gpu(house.settings, house.files, driver, {})
    job = house.admit()
    with FileLock(gpu_lock_path(gpu)):
        for _ in range(5):
            house.step(1)
        assert "is in use by process" in str(house.job(job).hold_reason)
    house.step(31)
    house.begin(job)
    other = FileLock(gpu_lock_path(gpu))
    with pytest.raises(Exception, match="in use"):
        other.acquire()
    house.finish(job)
    other.acquire()
    other.release()
    gpu_lock_path(gpu).unlink()
