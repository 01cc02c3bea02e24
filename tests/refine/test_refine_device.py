"""Fitting a texture on a GPU: by the CPU's operations, in numba's simulator (tests/diff), and on a GPU where one is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from device_memory import Memory
from numpy.typing import NDArray
from structlog.testing import capture_logs

from config.bundle_layout import VIEW_NAMES, ViewName
from config.errors import Cancelled, GpuUnavailable, MeshdropError, ModelOutOfVram
from config.sections import Engine
from engine import machine, quality
from engine.cuda import SIMULATED
from engine.diff import operations
from engine.mesh import Mesh, TexturedMesh
from engine.refine import texture as room
from engine.refine import texture_device
from engine.refine.observations import Observations
from engine.refine.sirt import Fit, never
from engine.refine.texture_device import FitLoad, ViewsOnDevice, fit_on_device
from engine.render import cuda_trouble, nvdiffrast_usable, on_cuda

SIDE = 12 if SIMULATED else 64  # pixels of a view's window; the simulator runs each thread in Python
TEXTURE = 8 if SIMULATED else 64
Views = dict[ViewName, Observations]


def _on_gpu(name: str, missing: str | None) -> Any:
    return pytest.param(name, marks=[pytest.mark.gpu, pytest.mark.skipif(missing is not None, reason=str(missing))])


OURS = "own" if SIMULATED else _on_gpu("own", cuda_trouble())
THEIRS = _on_gpu("nvdiffrast", None if nvdiffrast_usable() else "no nvdiffrast on a CUDA device")


@pytest.fixture(autouse=True)
def _default_machine() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # waking more takes longer than what is done here
    yield
    torch.set_num_threads(threads)
    machine.use(Engine())
    machine.give_cuda_up(None)


def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the device be the CPU, as if it had memory of its own: what goes there is copied."""
    monkeypatch.setattr(texture_device, "_back_end", lambda: (operations("cpu"), torch.device("cpu")))
    pixels = texture_device._Pixels
    names = ("uv", "uv_dxy", "rgb", "weight")
    monkeypatch.setattr(pixels, "to", lambda self, device: pixels(*(getattr(self, name).clone() for name in names)))


@pytest.fixture(params=["numba", OURS, THEIRS])
def back_end(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "numba":
        on_the_cpu(monkeypatch)
    machine.use(Engine(cuda_rasterizer="nvdiffrast" if name == "nvdiffrast" else "own"))
    return name


def view(seed: int, side: int = SIDE) -> Observations:
    """The pixels of a round patch that look a pattern up, each from somewhere near, at sizes of 1/2 to 4 texels."""
    rng = np.random.default_rng(seed)
    row, column = (axis.ravel() for axis in np.mgrid[:side, :side])
    inside = np.hypot(row - side / 2, column - side / 2) < side / 2
    row, column = row[inside], column[inside]
    uv = np.stack([column, row], 1) / side * 0.8 + 0.1 * rng.random(2) + 0.01 * rng.normal(size=(len(row), 2))
    slopes = rng.normal(size=(len(row), 2, 2)) * np.exp2(rng.uniform(-1, 2, (len(row), 1, 1))) / TEXTURE
    colour = 128 + 90 * np.sin(9 * uv[:, :1] + np.arange(3)) * np.cos(11 * uv[:, 1:])
    return Observations(
        uv.astype(np.float32),
        slopes.astype(np.float32),
        np.clip(np.rint(colour + rng.normal(size=colour.shape)), 0, 255).astype(np.uint8),
        rng.uniform(0.1, 1, len(row)).astype(np.float32),
        row.astype(np.int32),
        column.astype(np.int32),
        (side, side),
    )


def views(count: int = 2 if SIMULATED else 5) -> Views:
    out = {name: view(n) for n, name in enumerate(VIEW_NAMES[:count])}
    out["back"].rgb[: SIDE * SIDE // 4] //= 2  # part of it contradicts the others
    return out


def start() -> NDArray[np.float32]:
    return np.random.default_rng(9).uniform(60, 200, (TEXTURE, TEXTURE, 3)).astype(np.float32)


def fit(steps: int = 2, given: Views | None = None) -> Fit:
    return fit_on_device(start(), given or views(), steps, lambda fraction: None)


def on_host(steps: int = 2, given: Views | None = None) -> Fit:
    machine.use(Engine(device="cpu"))
    found, trouble = room._fit(start(), given or views(), steps, lambda fraction: None)
    machine.use(Engine())
    assert trouble is None
    assert found.device == "cpu"
    return found


def steps_apart(a: Fit, b: Fit) -> NDArray[np.int64]:
    """By how many steps of sRGB two textures differ, as they are written."""
    out: NDArray[np.int64] = np.abs(np.rint(a.texture).astype(np.int64) - np.rint(b.texture).astype(np.int64))
    return out


def test_it_is_the_cpus_fit_to_a_step_of_srgb(back_end: str) -> None:
    there, here = fit(), on_host()
    apart = steps_apart(there, here)
    assert (apart <= 1).mean() >= 0.999
    assert apart.max() <= 3
    assert there.device == "cuda"
    assert len(there.errors) == len(here.errors) == 3
    np.testing.assert_allclose(there.errors, here.errors, rtol=1e-4)
    assert there.agreement == pytest.approx(here.agreement, abs=2e-4)
    assert there.agreement["back"] < 0.95 * there.agreement["front"]
    assert np.abs(here.texture - start()).max() > 20


@pytest.mark.parametrize("tile_px", [60 if SIMULATED else 300, 1 << 20])
def test_every_run_gives_the_same_bytes_whatever_is_held(
    back_end: str, tile_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if back_end == "nvdiffrast":
        pytest.skip("its way back adds in any order")
    monkeypatch.setattr(texture_device, "TILE_PX", tile_px)
    whole = FitLoad.of(start(), views())
    assert whole.held == len(views())
    known = [fit()]
    with monkeypatch.context() as context:
        for held in (1, 0):
            free = int((FitLoad(whole.texels, whole.pixels, whole.window_px, held).bytes + 1) / 0.85) + 1
            context.setattr(texture_device, "free_bytes", lambda device, free=free: free)
            with capture_logs() as logs:
                known.append(fit())
            assert [each["views_held"] for each in logs if each["event"] == "texture_fit.device"] == [held]
    for each in known[1:]:
        np.testing.assert_array_equal(each.texture, known[0].texture)
        assert (each.errors, each.agreement) == (known[0].errors, known[0].agreement)
    assert (steps_apart(known[0], on_host()) <= 1).mean() >= 0.999


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_holds_what_is_estimated() -> None:
    texture_device.release()
    given = {name: view(n, 1024) for n, name in enumerate(VIEW_NAMES)}
    image = np.full((2048, 2048, 3), 90, np.float32)
    torch.cuda.reset_peak_memory_stats()
    fit_on_device(image, given, 1, lambda fraction: None)
    assert torch.cuda.max_memory_allocated() <= FitLoad.of(image, given).bytes


@pytest.mark.skipif(SIMULATED, reason="too small to run out")
def test_memory_that_runs_out_leaves_more_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_cpu(monkeypatch)
    whole, peaks = FitLoad.of(start(), views()), {}
    begun: list[int] = []
    original = texture_device._fit

    def noted(*given: Any) -> Fit:
        begun.append(memory.live_bytes)
        return original(*given)

    monkeypatch.setattr(texture_device, "_fit", noted)
    for held in (5, 2):
        load = FitLoad(whole.texels, whole.pixels, whole.window_px, held)
        with Memory() as memory:
            expected = original(
                start(), views(), 2, lambda f: None, never, operations("cpu"), torch.device("cpu"), load
            )
        peaks[held] = memory.peak_bytes
    assert peaks[5] - peaks[2] > 200_000
    between = (peaks[2] + peaks[5]) // 2  # when threads let go of a tensor differs from run to run
    with capture_logs() as logs, Memory(between) as memory:
        found = fit()
    assert [each["event"] for each in logs] == ["texture_fit.device", "gpu.with_less"]
    assert "CUDA out of memory" in logs[1]["reason"]
    assert begun == [0, 0]  # what ran out holds nothing any more
    np.testing.assert_array_equal(found.texture, expected.texture)
    with pytest.raises(ModelOutOfVram, match="held the least") as failure, Memory(1 << 10):
        fit()
    assert failure.value.code == "MODEL_VRAM_OOM"
    assert failure.value.details["reason"].startswith("CUDA out of memory")
    assert 'engine.device to "cpu"' in failure.value.suggestion


def test_memory_that_is_not_there_is_said_before_anything_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_cpu(monkeypatch)
    monkeypatch.setattr(texture_device, "free_bytes", lambda device: 100 << 20)
    monkeypatch.setattr(texture_device, "ViewsOnDevice", lambda *given: pytest.fail("it was begun"))
    with pytest.raises(ModelOutOfVram, match="100 MB of GPU memory are free") as failure:
        fit()
    assert failure.value.details == {"free_mb": 100, "needed_mb": 128}


def test_too_little_memory_leaves_the_fit_to_the_cpu_unless_cuda_is_insisted_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = on_host()
    on_the_cpu(monkeypatch)
    monkeypatch.setattr(room, "choose", lambda: "cuda")
    monkeypatch.setattr(texture_device, "free_bytes", lambda device: 100 << 20)
    machine.use(Engine(device="auto"))
    found, trouble = room._fit(start(), views(), 2, lambda fraction: None)
    assert found.device == "cpu"
    assert trouble is not None
    assert "100 MB of GPU memory are free" in trouble
    assert trouble.endswith("The texture was fitted on the CPU.")
    np.testing.assert_array_equal(found.texture, expected.texture)
    machine.use(Engine(device="cuda"))
    try:
        with pytest.raises(ModelOutOfVram):
            room._fit(start(), views(), 2, lambda fraction: None)
    finally:
        machine.use(Engine())


@pytest.mark.skipif(SIMULATED, reason="nothing may run here")
@pytest.mark.parametrize(("side_px", "window_px", "held"), [(256, 40, 1), (16, 160, 2), (48, 120, 0), (16, 300, 0)])
def test_the_estimate_is_what_our_tensors_take(
    side_px: int, window_px: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our operations for CUDA with all their tensors, but for the kernels: they need no GPU for that."""
    from engine.diff import cuda_operations

    monkeypatch.setattr(cuda_operations, "launch", lambda *given: None)
    monkeypatch.setattr(cuda_operations, "missing", lambda: None)
    monkeypatch.setattr(texture_device, "TILE_PX", 1 << 14)
    on_the_cpu(monkeypatch)
    given: Views = {"front": view(0, window_px), "back": view(1, window_px)}
    image = np.full((side_px, side_px, 3), 90, np.float32)
    with Memory() as memory:
        there = ViewsOnDevice(image, given, cuda_operations.CudaOperations(), torch.device("cpu"), held)
        best = there.start
        for _ in range(2):
            current = there.moved(best, there.step(best)[1])
            best = current
        there.step(current)
    whole = FitLoad.of(image, given)
    load = FitLoad(whole.texels, whole.pixels, whole.window_px, held)
    # A texture is shared with the host here, weights that a GPU would give back are not, and a tile is copied in vain.
    counted = memory.peak_bytes + image.nbytes - 4 * sum(whole.pixels[held:])
    if held:
        counted -= 31 * min(texture_device.TILE_PX, whole.pixels[0])
    estimated = load.bytes - texture_device._ANYWAY
    assert 0.75 * estimated <= counted <= 1.01 * estimated


def test_less_is_less_down_to_nothing_held() -> None:
    each: FitLoad | None = FitLoad(2048**2, (400_000,) * 6, 900**2, 6)
    seen = []
    while each is not None:
        seen.append(each)
        each = each.less()
    assert [load.held for load in seen] == [6, 3, 1, 0]
    assert all(less.bytes < more.bytes for more, less in pairwise(seen))


# -- the choice, and what becomes of a GPU that fails ------------------------------------------------------------


def test_ours_is_taken_unless_nvdiffrast_is_asked_for_or_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.diff.cuda_operations.missing", lambda: None)
    monkeypatch.setattr(texture_device, "operations", lambda device: f"the setting's, on {device}")
    monkeypatch.setattr(texture_device, "cuda_trouble", lambda: None)
    assert texture_device._back_end()[0].name == "cuda"
    machine.use(Engine(cuda_rasterizer="nvdiffrast"))
    assert texture_device._back_end()[0] == "the setting's, on cuda"
    machine.use(Engine())
    monkeypatch.setattr(texture_device, "cuda_trouble", lambda: "it does not draw")
    assert texture_device._back_end()[0] == "the setting's, on cuda"


class Broken:
    """Operations that fail as a driver does."""

    name = "cuda"

    def texture(self, *given: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "choose", lambda: "cuda")
    monkeypatch.setattr(texture_device, "_back_end", lambda: (Broken(), torch.device("cpu")))


@pytest.mark.usefixtures("broken")
def test_a_gpu_that_fails_leaves_it_to_the_cpu_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as logs:
        found, trouble = room._fit(start(), views(), 2, lambda fraction: None)
    assert "gpu.failed" in [each["event"] for each in logs]
    monkeypatch.undo()
    np.testing.assert_array_equal(found.texture, on_host().texture)
    assert trouble is not None
    said = _refined(found, trouble).notes()
    assert said[0] == (
        "The GPU failed (RuntimeError: CUDA error: an illegal memory access was encountered). "
        "The texture was fitted on the CPU."
    )
    # Its context may be dead: nothing of this process asks it again.
    monkeypatch.setattr("engine.render.backends.nvdiffrast_usable", lambda: True)
    assert on_cuda() is None
    machine.give_cuda_up(None)
    assert on_cuda() == "nvdiffrast"


@pytest.mark.usefixtures("broken")
def test_a_gpu_that_fails_holds_the_job_where_it_is_insisted_on() -> None:
    machine.use(Engine(device="cuda"))
    with capture_logs(), pytest.raises(GpuUnavailable, match="illegal memory access") as failure:
        room._fit(start(), views(), 2, lambda fraction: None)
    assert failure.value.retry
    assert "nvidia-smi" in failure.value.suggestion


def test_a_cancel_and_errors_with_a_code_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "choose", lambda: "cuda")
    on_the_cpu(monkeypatch)

    def raising(error: Exception) -> Callable[[float], None]:
        def checkpoint(fraction: float) -> None:
            raise error

        return checkpoint

    for error in (Cancelled(), MeshdropError("no"), MemoryError()):
        with pytest.raises(type(error)):
            room._fit(start(), views(), 2, raising(error))
    assert machine.cuda_failure() is None


def _refined(found: Fit, trouble: str | None = None) -> room.Refined:
    mesh = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]], np.int32))
    uv = np.zeros((3, 2), np.float32)
    image = np.zeros((4, 4, 3), np.uint8)
    return room.Refined(TexturedMesh(mesh, uv, mesh.faces, image), found.agreement, (20.0, 21.0), found.device, trouble)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_quality_json_names_the_device_where_it_was_not_the_cpu(device: Any) -> None:
    facts = _refined(Fit(start(), {"front": 0.9}, (1.0,), device)).facts()
    assert facts.get("device") == (None if device == "cpu" else "cuda")
    path = Path(quality.__file__).parent / "schemas" / "quality.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))["properties"]["texture_fit"]
    jsonschema.Draft202012Validator(schema).validate(facts)


@pytest.mark.skipif(SIMULATED, reason="the simulator needs torch")
@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_torch_is_not_imported_where_no_back_end_for_cuda_is() -> None:
    program = (
        "import sys, engine.refine; from engine.device import choose; "
        "print(choose(), *{'torch', 'numba_cuda'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["cpu"]
