"""Stage 10: figures for a result, the verdict on it, and the files that say so."""

from __future__ import annotations

from engine.quality.closeup import Closeup
from engine.quality.compare import REASON, Comparison, compare
from engine.quality.documents import cameras_json, dump, quality_json, schema, verdict_on, versions
from engine.quality.score import Evaluation, Figures, Thumbnails, ViewFigures, as_it_is, evaluate
from engine.quality.verdict import MEANING, Verdict, judge

__all__ = [
    "MEANING",
    "REASON",
    "Closeup",
    "Comparison",
    "Evaluation",
    "Figures",
    "Thumbnails",
    "Verdict",
    "ViewFigures",
    "as_it_is",
    "cameras_json",
    "compare",
    "dump",
    "evaluate",
    "judge",
    "quality_json",
    "schema",
    "verdict_on",
    "versions",
]
