"""`make bench`: run whole jobs and print what they took and how good they are, per bundle and per stage."""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MESHDROP = [sys.executable, "-m", "daemon"]


@dataclass(frozen=True)
class Case:
    """One bundle to measure, with its ground truth where there is one."""

    name: str
    bundle: Path
    truth: Path | None


@dataclass
class Row:
    """What one run took and made."""

    case: Case
    status: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    quality: dict[str, Any] = field(default_factory=dict)
    fov_error_deg: float | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def find_cases(folder: Path) -> Iterator[Case]:
    """Every folder below `folder` that holds multi_views and depth_renders."""
    for found in sorted(folder.rglob("multi_views")):
        bundle = found.parent
        if not (bundle / "depth_renders").is_dir():
            continue
        truth = bundle.parent / "ground_truth"
        has_truth = bundle.name == "bundle" and truth.is_dir()
        yield Case(bundle.parent.name if bundle.name == "bundle" else bundle.name, bundle, truth if has_truth else None)


def true_fov_deg(truth: Path) -> float | None:
    """The field of view in a ground truth's cameras.json: ours (K) or a plain `fov_deg`."""
    cameras = json.loads((truth / "cameras.json").read_text())
    if "fov_deg" in cameras:
        return float(cameras["fov_deg"])
    front = cameras["views"]["front"]
    return math.degrees(2 * math.atan(front["size_px"] / 2 / front["K"][0][0]))


def run_case(case: Case, out: Path, quality: str, environment: dict[str, str]) -> Row:
    """Run one job in a process of its own and read what it left."""
    begin_s = time.monotonic()
    command = [*MESHDROP, "reconstruct", str(case.bundle), str(out), "--quality", quality]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        _, wait_status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(wait_status)
        log.seek(0)
        text = log.read().decode(errors="replace")
    row = Row(
        case,
        process.returncode,
        time.monotonic() - begin_s,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
    )
    if (out / "quality.json").is_file():
        row.quality = json.loads((out / "quality.json").read_text())
        if case.truth and (truth := true_fov_deg(case.truth)) is not None:
            row.fov_error_deg = row.quality["calibration"]["fov_deg"] - truth
    else:
        row.error = text.strip()[-400:]
    return row


def run_scorer(command: str, arguments: list[Path]) -> dict[str, Any]:
    """Call an outside scorer: `CMD ARGUMENTS --json FILE`; what it writes there, or the error."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "score.json"
        done = subprocess.run(
            [*shlex.split(command), *map(str, arguments), "--json", str(target)],
            capture_output=True,
            text=True,
            check=False,
        )
        if not target.is_file():
            return {"error": done.stderr.strip()[-300:]}
        return dict(json.loads(target.read_text()))


def _get(data: dict[str, Any], path: str, digits: int, factor: float = 1.0) -> str:
    value: Any = data
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return "-"
        value = value[key]
    if isinstance(value, bool) or value is None:
        return str(value)
    return f"{value * factor:.{digits}f}"


def print_tables(rows: list[Row], console: Console) -> None:
    """Print quality, time by stage, and the outside scorer's figures."""
    table = Table(title="result")
    for name in ("bundle", "exit", "verdict", "PSNR", "SSIM", "fg", "inside", "rgb IoU", "depth IoU (worst)",
                 "fov", "fov error", "conf.", "amb.", "tight", "comp.", "faces", "wall s", "CPU s", "MB"):  # fmt: skip
        table.add_column(name)
    for row in rows:
        q = row.quality
        worst = min((view["depth_iou"] for view in q.get("views", {}).values()), default=math.nan)
        table.add_row(
            row.case.name, str(row.status), str(q.get("status", "-")), _get(q, "psnr", 2), _get(q, "ssim", 4),
            _get(q, "foreground.psnr", 2), _get(q, "inside.psnr", 2),
            f"{sum(v['rgb_iou'] for v in q['views'].values()) / 6:.3f}" if q else "-",
            f"{worst:.4f}", _get(q, "calibration.fov_deg", 2),
            "-" if row.fov_error_deg is None else f"{row.fov_error_deg:+.2f}",
            _get(q, "calibration.confidence", 2), _get(q, "calibration.ambiguous", 0),
            _get(q, "mesh.watertight", 0), _get(q, "mesh.components", 0), _get(q, "mesh.faces", 0),
            f"{row.wall_s:.1f}", f"{row.cpu_s:.1f}", f"{row.peak_mb:.0f}",
        )  # fmt: skip
    console.print(table)
    stages = list(dict.fromkeys(stage for row in rows for stage in row.quality.get("timings_s", {})))
    table = Table("bundle", *stages, title="seconds by stage (wall)")
    for row in rows:
        table.add_row(row.case.name, *(_get(row.quality, f"timings_s.{stage}", 2) for stage in stages))
    console.print(table)
    if any(row.scores for row in rows):
        columns = {
            "rotation °": ("alignment.rotation_deg", 2, 1.0), "CD-L1 %": ("geometry.chamfer_l1", 4, 100.0),
            "F0.2": ("geometry.f02", 3, 1.0), "NC": ("geometry.normal_consistency", 4, 1.0),
            "novel fg dB": ("novel.mean.psnr_fg", 2, 1.0), "novel SSIM": ("novel.mean.ssim", 4, 1.0),
            "tight": ("mesh_stats.watertight", 0, 1.0), "comp.": ("mesh_stats.components", 0, 1.0),
            "PSNR": ("psnr", 2, 1.0), "SSIM": ("ssim", 4, 1.0), "white": ("on_white.psnr", 2, 1.0),
            "fg": ("foreground.psnr", 2, 1.0), "inside": ("inside.psnr", 2, 1.0), "rgb IoU": ("rgb_iou", 3, 1.0),
            "worst depth IoU": ("worst_depth_iou", 4, 1.0),
        }  # fmt: skip
        used = {n: c for n, c in columns.items() if any(_get(r.scores, c[0], 0) != "-" for r in rows)}
        table = Table("bundle", *used, title="outside scorer")
        for row in rows:
            table.add_row(row.case.name, *(_get(row.scores, *used[name]) for name in used))
        console.print(table)
    for row in rows:
        for message in filter(None, (row.error, row.scores.get("error"))):
            console.print(f"{row.case.name}: {message}", highlight=False, markup=False)


def print_costs(rows: list[Row], cold: Row | None, console: Console) -> None:
    """Print what the jobs took: time, memory, and what a first run adds by compiling."""
    table = Table("job", "wall s", "CPU s", "peak MB", "sum of stages s", "rest s", title="cost")
    for name, row in [*([("first run after installation", cold)] if cold else []), *((r.case.name, r) for r in rows)]:
        stages = sum(row.quality.get("timings_s", {}).values())
        table.add_row(
            name, f"{row.wall_s:.1f}", f"{row.cpu_s:.1f}", f"{row.peak_mb:.0f}", f"{stages:.1f}",
            f"{row.wall_s - stages:.1f}",
        )  # fmt: skip
    warm = next((row for row in rows if cold and row.case.name == cold.case.name), None)
    if cold and warm:
        table.add_row(
            f"compiling ({warm.case.name})", f"{cold.wall_s - warm.wall_s:.1f}", f"{cold.cpu_s - warm.cpu_s:.1f}",
            "-", "-", "-",
        )  # fmt: skip
    console.print(table)


def make_samples(folder: Path, size_px: int) -> list[Case]:
    """A bundle of every sample object."""
    from engine.sample import OBJECT_NAMES, make_sample

    cases = []
    for name in OBJECT_NAMES:
        make_sample(folder / name, name, size_px=size_px)
        cases.append(Case(name, folder / name / "bundle", folder / name / "ground_truth"))
    return cases


def main() -> int:
    """Measure; the exit status says whether every job made a result."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--bundles", type=Path, action="append", default=[], help="a folder of bundles to add")
    parser.add_argument(
        "--scorer", help="CMD: called as CMD BUNDLE GROUND_TRUTH OUT --json FILE where there is a truth"
    )
    parser.add_argument("--scorer-views", help="CMD: called as CMD BUNDLE OUT --json FILE where there is none")
    parser.add_argument("--quality", default="standard")
    parser.add_argument("--size", type=int, default=2048, help="of the bundles that are made")
    parser.add_argument("--only", nargs="*", help="names of the bundles to run")
    parser.add_argument("--keep", type=Path, help="leave the results in this folder")
    parser.add_argument("--cold", action="store_true", help="measure the first run after an installation too")
    parser.add_argument("--json", type=Path, help="write the rows there")
    asked = parser.parse_args()
    console = Console(width=max(200, Console().width))

    with tempfile.TemporaryDirectory(prefix="meshdrop-bench-") as scratch_name:
        scratch = Path(scratch_name)
        cases = make_samples(scratch / "samples", asked.size) if not asked.only or not asked.bundles else []
        cases += [case for folder in asked.bundles for case in find_cases(folder)]
        cases = [case for case in cases if not asked.only or case.name in asked.only]
        if not cases:
            parser.error("no bundle found")
        environment = dict(os.environ)
        cold = None
        if asked.cold:
            cold = run_case(
                cases[0], scratch / "cold", asked.quality, {**environment, "NUMBA_CACHE_DIR": str(scratch / "jit")}
            )
            console.print(f"first run after installation: {cold.wall_s:.1f} s wall, {cold.cpu_s:.1f} s CPU")
        run_case(cases[0], scratch / "warm-up", "draft", environment)
        rows = []
        for case in cases:
            out = (asked.keep or scratch) / case.name
            shutil.rmtree(out, ignore_errors=True)
            row = run_case(case, out, asked.quality, environment)
            if row.quality and case.truth and asked.scorer:
                row.scores = run_scorer(asked.scorer, [case.bundle, case.truth, out])
            elif row.quality and not case.truth and asked.scorer_views:
                row.scores = run_scorer(asked.scorer_views, [case.bundle, out])
            rows.append(row)
            console.print(f"{case.name}: exit {row.status}, {row.wall_s:.1f} s", highlight=False)
        print_tables(rows, console)
        print_costs(rows, cold, console)
        if asked.json:
            named = [("first run", cold)] if cold else []
            records = [{**vars(row), "case": name} for name, row in [*named, *((r.case.name, r) for r in rows)]]
            asked.json.write_text(json.dumps(records, indent=1, default=str))
    return 0 if all(row.quality for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
