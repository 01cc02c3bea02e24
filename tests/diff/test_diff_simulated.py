"""Our own back end for CUDA where there is no GPU: the same tests, its kernels in numba's simulator.

The simulator runs each thread in plain Python, so pictures are small, and it has to be chosen before numba is imported.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cuda import SIMULATED

HERE = Path(__file__).parent
QUICK = [
    "diff/test_diff_operations.py::test_rasterize_leads_back_to_clip_positions",
    "diff/test_diff_operations.py::test_interpolate_leads_back_to_attributes_and_weights",
    "diff/test_diff_operations.py::test_texture_leads_back_to_texels_and_coordinates",
    "diff/test_diff_operations.py::test_antialias_leads_back_to_colours_and_silhouettes",
    "refine/test_refine_device.py::test_it_is_the_cpus_fit_to_a_step_of_srgb",
]


def passed(*tests: str) -> int:
    """How many tests pass in the simulator. Fails where one fails, or is skipped for want of the simulator."""
    repository = HERE.parents[1]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(repository)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", *tests]
    done = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) passed", done.stdout)
    return int(found[1]) if found else 0


pytestmark = pytest.mark.skipif(SIMULATED, reason="this is the simulator")


@pytest.mark.ci
def test_the_operations_in_the_simulator() -> None:
    assert passed(*QUICK) >= 8


@pytest.mark.slow
def test_all_of_it_in_the_simulator() -> None:
    assert passed("diff/test_diff_operations.py") >= 18
    assert passed("render/test_render_operations.py") >= 14
    assert passed("refine/test_refine_device.py") >= 10
