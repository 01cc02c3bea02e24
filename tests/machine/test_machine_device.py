"""Where torch computes, and what becomes of a step that the GPU's memory does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import GpuUnavailable, ModelOutOfVram
from config.sections import Engine
from engine import device, machine
from engine.device import after_failure, fitting, is_out_of_memory, with_less
from engine.render import on_cuda


@dataclass(frozen=True)
class Load:
    """Parts of so many bytes, of which there may be fewer at once, and something that has to be there."""

    parts: int
    bytes_a_part: int = 100 << 20
    rest: int = 50 << 20

    @property
    def bytes(self) -> int:
        return self.rest + self.parts * self.bytes_a_part

    def less(self) -> Load | None:
        return replace(self, parts=self.parts // 2) if self.parts else None


WHOLE = Load(6)


class OutOfMemoryError(RuntimeError):
    """As torch's is called."""


class CudaAPIError(Exception):
    """As numba's is called."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@pytest.fixture(autouse=True)
def _default_machine() -> Iterator[None]:
    yield
    machine.use(Engine())
    machine.give_cuda_up(None)


@given(st.integers(0, 1 << 31), st.integers(0, 12), st.integers(1, 1 << 28))
def test_what_fits_is_the_largest_that_does(free: int, parts: int, bytes_a_part: int) -> None:
    smaller = [Load(parts, bytes_a_part)]
    while (less := smaller[-1].less()) is not None:
        smaller.append(less)
    if smaller[-1].bytes > 0.85 * free:
        with pytest.raises(ModelOutOfVram) as failure:
            fitting(smaller[0], free)
        assert failure.value.details == {"free_mb": free >> 20, "needed_mb": 50}
        return
    got = fitting(smaller[0], free)
    assert got.bytes <= 0.85 * free
    assert all(each.bytes > 0.85 * free for each in smaller[: smaller.index(got)])


def test_without_a_limit_all_fits() -> None:
    assert fitting(WHOLE, device.free_bytes("cpu")) is WHOLE


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        CudaAPIError(2, "[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"),
        CudaAPIError(2, "[2] Call to cuMemAlloc"),
        Exception("CUDA_ERROR_OUT_OF_MEMORY: The API call failed because it was unable to allocate enough memory"),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_a_step_that_runs_out_is_tried_with_less(error: Exception) -> None:
    tried: list[int] = []

    def step(load: Load) -> str:
        tried.append(load.parts)
        if load.parts > 1:
            raise error
        return "done"

    assert is_out_of_memory(error)
    assert with_less(step, WHOLE) == "done"
    assert tried == [6, 3, 1]


def test_the_smallest_that_runs_out_is_the_jobs_failure() -> None:
    def step(load: Load) -> None:
        raise OutOfMemoryError("CUDA out of memory.\nmore")

    with pytest.raises(ModelOutOfVram, match="about 50 MB") as failure:
        with_less(step, WHOLE)
    assert failure.value.code == "MODEL_VRAM_OOM"
    assert failure.value.details == {"reason": "CUDA out of memory", "needed_mb": 50}


@pytest.mark.parametrize(
    "error", [ValueError("out of memory"), MemoryError(), CudaAPIError(700, "CUDA_ERROR_ILLEGAL_ADDRESS")]
)
def test_other_errors_pass(error: Exception) -> None:
    def step(load: Load) -> None:
        raise error

    with pytest.raises(type(error)):
        with_less(step, WHOLE)


def test_a_real_error_of_torch_is_known() -> None:
    import torch

    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory."))


def test_the_device_follows_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "on_cuda", lambda: "cuda")
    assert device.choose() == "cuda"
    machine.use(Engine(device="cpu"))
    assert device.choose() == "cpu"
    monkeypatch.setattr(device, "on_cuda", lambda: None)
    machine.use(Engine(device="auto"))
    assert device.choose() == "cpu"
    machine.use(Engine(device="cuda"))
    with pytest.raises(GpuUnavailable, match="rasteriser"):
        device.choose()


def test_a_failure_ends_the_use_of_cuda_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.render.backends.nvdiffrast_usable", lambda: True)
    assert on_cuda() == "nvdiffrast"
    said = after_failure(CudaAPIError(700, "CUDA_ERROR_ILLEGAL_ADDRESS"))
    assert said == "The GPU failed (CudaAPIError: CUDA_ERROR_ILLEGAL_ADDRESS)."
    assert on_cuda() is None
    assert device.choose() == "cpu"
    machine.use(Engine(device="cuda"))
    with pytest.raises(GpuUnavailable, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        device.choose()


def test_a_failure_where_cuda_is_insisted_on_holds_the_job() -> None:
    machine.use(Engine(device="cuda"))
    with pytest.raises(GpuUnavailable, match="unknown error") as failure:
        after_failure(RuntimeError("CUDA error: unknown error"))
    assert failure.value.retry
    assert machine.cuda_failure() is None  # the next process may find it well again
