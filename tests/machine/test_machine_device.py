"""Where torch computes, and what becomes of a step that the GPU's memory does not hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import GpuUnavailable, ModelOutOfVram
from config.sections import Engine
from engine import device, machine
from engine.device import Load, fitting, is_out_of_memory, with_less

HIGH = Load(views=6, size_px=2048, texture_size_px=4096, faces=150_000)


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


def test_views_are_given_up_before_resolution() -> None:
    each, seen = HIGH, []
    while (less := each.less()) is not None:
        assert less.bytes < each.bytes
        seen.append((less.views, less.size_px))
        each = less
    assert seen == [(3, 2048), (1, 2048), (1, 1024), (1, 512), (1, 256)]


@given(st.integers(0, 1 << 38), st.integers(1, 12), st.sampled_from([256, 300, 1024, 4096]))
def test_what_fits_is_the_largest_that_does(free: int, views: int, size_px: int) -> None:
    wanted = Load(views, size_px, 2048, 100_000)
    smaller = [wanted]
    while (less := smaller[-1].less()) is not None:
        smaller.append(less)
    if smaller[-1].bytes > 0.85 * free:
        with pytest.raises(ModelOutOfVram) as failure:
            fitting(wanted, free)
        assert failure.value.details["needed_mb"] == smaller[-1].bytes >> 20
        return
    got = fitting(wanted, free)
    assert got.bytes <= 0.85 * free
    assert all(each.bytes > 0.85 * free for each in smaller[: smaller.index(got)])


def test_without_a_limit_all_fits() -> None:
    assert fitting(HIGH, device.free_bytes("cpu")) is HIGH


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        CudaAPIError(2, "[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_a_step_that_runs_out_is_tried_with_less(error: Exception) -> None:
    tried: list[Load] = []
    told: list[Load] = []

    def step(load: Load) -> str:
        tried.append(load)
        if load.size_px > 1024:
            raise error
        return "done"

    assert is_out_of_memory(error)
    assert with_less(step, HIGH, told.append) == "done"
    assert [(load.views, load.size_px) for load in tried] == [(6, 2048), (3, 2048), (1, 2048), (1, 1024)]
    assert told == tried[1:]


def test_the_smallest_that_runs_out_is_the_jobs_failure() -> None:
    def step(load: Load) -> None:
        raise OutOfMemoryError("CUDA out of memory.\nmore")

    with pytest.raises(ModelOutOfVram, match="256 pixels") as failure:
        with_less(step, HIGH)
    assert failure.value.code == "MODEL_VRAM_OOM"
    assert failure.value.details == {"reason": "CUDA out of memory."}


@pytest.mark.parametrize(
    "error", [ValueError("out of memory"), MemoryError(), CudaAPIError(700, "CUDA_ERROR_ILLEGAL_ADDRESS")]
)
def test_other_errors_pass(error: Exception) -> None:
    def step(load: Load) -> None:
        raise error

    with pytest.raises(type(error)):
        with_less(step, HIGH)


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
