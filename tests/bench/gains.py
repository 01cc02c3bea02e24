"""`make bench-refine`, its second half: what refining gains. Each bundle is run without it and with it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.__main__ import Case, Row, find_cases, make_samples, run_case, run_scorer

WITHOUT = {"REFINE_STEPS": "0", "TEXTURE_STEPS": "0"}
Figure = Callable[[Row], float | None]


def _mean(name: str) -> Figure:
    def of(row: Row) -> float | None:
        views = [view[name] for view in row.quality.get("views", {}).values() if view.get(name) is not None]
        return sum(views) / len(views) if views else None

    return of


def _least(name: str) -> Figure:
    return lambda row: min((view[name] for view in row.quality.get("views", {}).values()), default=None)


def _at(source: str, path: str, factor: float = 1.0) -> Figure:
    def of(row: Row) -> float | None:
        value: Any = getattr(row, source)
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return factor * float(value) if isinstance(value, int | float) else None

    return of


FIGURES: dict[str, tuple[Figure, int]] = {
    "PSNR": (_at("quality", "psnr"), 2),
    "SSIM": (_at("quality", "ssim"), 4),
    "foreground": (_at("quality", "foreground.psnr"), 2),
    "inside": (_at("quality", "inside.psnr"), 2),
    "rgb IoU": (_mean("rgb_iou"), 4),
    "worst depth IoU": (_least("depth_iou"), 4),
    "depth error %": (lambda row: None if (e := _mean("depth_error")(row)) is None else 100 * e, 4),
    "CPU s": (lambda row: row.cpu_s, 1),
    "wall s": (lambda row: row.wall_s, 1),
    "MB": (lambda row: row.peak_mb, 0),
    "scorer: CD-L1 %": (_at("scores", "geometry.chamfer_l1", 100.0), 4),
    "scorer: novel fg": (_at("scores", "novel.mean.psnr_fg"), 2),
    "scorer: novel SSIM": (_at("scores", "novel.mean.ssim"), 4),
    "scorer: PSNR": (_at("scores", "psnr"), 2),
    "scorer: foreground": (_at("scores", "foreground.psnr"), 2),
    "scorer: inside": (_at("scores", "inside.psnr"), 2),
    "scorer: rgb IoU": (_at("scores", "rgb_iou"), 4),
    "scorer: worst depth IoU": (_at("scores", "worst_depth_iou"), 4),
}


def table_of(case: Case, runs: dict[str, Row]) -> Table:
    """Every figure of one bundle, without refinement and by each quality."""
    table = Table("", *runs, title=case.name)
    for name, (figure, digits) in FIGURES.items():
        values = [figure(row) for row in runs.values()]
        if all(value is None for value in values):
            continue
        first = values[0]
        words = ["-" if value is None else f"{value:.{digits}f}" for value in values]
        for n, value in enumerate(values[1:], 1):
            if value is not None and first is not None:
                words[n] += f" ({value - first:+.{digits}f})"
        table.add_row(name, *words)
    return table


def main() -> int:
    """Run, print, and say by the exit status whether every job made a result."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gains", description=__doc__)
    parser.add_argument("--bundles", type=Path, action="append", default=[], help="a folder of bundles to add")
    parser.add_argument("--only", nargs="*", help="names of the bundles to run")
    parser.add_argument("--quality", nargs="*", default=["standard"], help="qualities to set beside no refinement")
    parser.add_argument("--scorer", help="see tests.bench")
    parser.add_argument("--scorer-views", help="see tests.bench")
    parser.add_argument("--size", type=int, default=1024, help="of the bundles that are made")
    parser.add_argument("--keep", type=Path, help="leave the results in this folder")
    parser.add_argument("--json", type=Path, help="write the figures there")
    asked = parser.parse_args()
    console = Console(width=max(120, Console().width))
    told: dict[str, Any] = {}
    whole = True
    with tempfile.TemporaryDirectory(prefix="meshdrop-bench-") as scratch_name:
        scratch = Path(scratch_name)
        cases = make_samples(scratch / "samples", asked.size) if not asked.bundles else []
        cases += [case for folder in asked.bundles for case in find_cases(folder)]
        cases = [case for case in cases if not asked.only or case.name in asked.only]
        if not cases:
            parser.error("no bundle found")
        for case in cases:
            runs: dict[str, Row] = {}
            for name in ["without", *asked.quality]:
                quality = asked.quality[0] if name == "without" else name
                less = {f"MESHDROP_QUALITY__{quality.upper()}__{key}": value for key, value in WITHOUT.items()}
                out = (asked.keep or scratch) / f"{case.name}-{name}"
                shutil.rmtree(out, ignore_errors=True)
                row = run_case(case, out, quality, {**os.environ, **(less if name == "without" else {})})
                if row.quality and case.truth and asked.scorer:
                    row.scores = run_scorer(asked.scorer, [case.bundle, case.truth, out])
                elif row.quality and not case.truth and asked.scorer_views:
                    row.scores = run_scorer(asked.scorer_views, [case.bundle, out])
                runs[name] = row
                whole = whole and bool(row.quality)
                for message in filter(None, (row.error, row.scores.get("error"))):
                    console.print(f"{case.name}, {name}: {message}", highlight=False, markup=False)
            console.print(table_of(case, runs))
            told[case.name] = {
                name: {key: figure(row) for key, (figure, _) in FIGURES.items()} for name, row in runs.items()
            }
            if asked.json:
                asked.json.write_text(json.dumps(told, indent=1))
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
