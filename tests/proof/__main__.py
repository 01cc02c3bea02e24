"""Run the proof, and write what came out into docs/reliability.md: `python -m tests.proof --help`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil

from tests.daemon_stand_in import ROOT
from tests.proof.rows import PARTS, Row, all_tests

DOCUMENT = ROOT / "docs" / "reliability.md"
WORDS = {"passed": "holds", "failed": "**FAILS**", "skipped": "skipped on this machine", "": "not run"}

HEAD = """\
# Reliability

What the daemon promises, what was done to it, and what came out. This page is written by `make proof`
(`python -m tests.proof`); every row names the tests that show it. To reproduce one:
`.venv/bin/python -m pytest TEST`, with the amounts below in its environment. `make soak` does the same for hours;
`make test` does a little of each.

| | |
|---|---|
"""


def main() -> int:
    """Run what is asked for, and write the document."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--minutes", type=float, default=25, help="about how long the long suites may take together")
    parser.add_argument("--kills", type=int, default=25, help="kills at each step")
    parser.add_argument("--random-kills", type=int, default=1000, help="kills at random times")
    parser.add_argument("--stride", type=int, default=1, help="every how many calls one fails")
    parser.add_argument("--stream-s", type=int, default=60, help="for how long a bundle comes each second")
    parser.add_argument("--kept", type=Path, help="a folder that figures and results are kept in, and read from")
    parser.add_argument("--write-only", action="store_true", help="run nothing: write what --kept holds")
    parser.add_argument("--select", default="", help="as pytest's -k, of the proof's own suites and the tests named")
    given = parser.parse_args()
    kept = given.kept or Path(tempfile.mkdtemp(prefix="proof-"))
    failed = 0 if given.write_only else run(given, kept)
    DOCUMENT.write_text(document(kept), encoding="utf-8")
    print(f"{DOCUMENT} is written; figures and results are kept in {kept}")
    return failed


def amounts_of(given: argparse.Namespace) -> dict[str, str]:
    """The environment that tells the suites how much to do."""
    share = given.minutes * 60
    return {
        "PROOF_KILLS": str(given.kills),
        "PROOF_CRASH_POINTS_S": f"{0.4 * share:.0f}",
        "PROOF_RANDOM_KILLS": str(given.random_kills),
        "PROOF_RANDOM_KILLS_S": f"{0.2 * share:.0f}",
        "PROOF_FAULT_STRIDE": str(given.stride),
        "PROOF_FAULTS_S": f"{0.15 * share:.0f}",
        "PROOF_FAULTS_LASTING_S": f"{0.05 * share:.0f}",
        "PROOF_LASTING_STRIDE": str(7 * given.stride),
        "PROOF_CALL_STRIDE": str(given.stride),
        "PROOF_CALLS_S": f"{0.02 * share:.0f}",
        "PROOF_MODEL": str(max(3, round(2 * given.minutes))),
        "PROOF_FUZZ_S": f"{0.01 * share:.0f}",
        "PROOF_STREAM_S": str(given.stream_s),
    }


def run(given: argparse.Namespace, kept: Path) -> int:
    """Run the suites and every test that a row names."""
    kept.mkdir(parents=True, exist_ok=True)
    number = len(list(kept.glob("results-*.xml")))
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1",
        f"--junitxml={kept / f'results-{number:03d}.xml'}",
        *(["-k", given.select] if given.select else []), *all_tests(),
    ]  # fmt: skip
    amounts = amounts_of(given)
    (kept / "amounts.json").write_text(json.dumps(amounts))
    environment = {**os.environ, **amounts, "PROOF_FIGURES": str(kept / "figures")}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def results(kept: Path) -> dict[str, str]:
    """Each test, its parameters left out: passed, failed or skipped; the last run that had it counts."""
    found: dict[str, str] = {}
    for path in sorted(kept.glob("results-*.xml")):
        here: dict[str, str] = {}
        for case in ElementTree.parse(path).iter("testcase"):
            file = case.get("file") or str(case.get("classname")).replace(".", "/") + ".py"
            outcome = "passed"
            if case.find("failure") is not None or case.find("error") is not None:
                outcome = "failed"
            elif case.find("skipped") is not None:
                outcome = "skipped"
            name = str(case.get("name")).partition("[")[0]
            names = [f"{file}::{name}"]
            if name == "runTest":  # a machine of hypothesis: the class is the test
                names = [f"{file}::{str(case.get('classname')).rsplit('.', 1)[-1]}"]
            for each in names:
                here[each] = _worse(here.get(each, ""), outcome)
        found |= here
    return found


def _worse(one: str, other: str) -> str:
    order = ("", "skipped", "passed", "failed")
    return max(one, other, key=order.index)


def document(kept: Path) -> str:
    """docs/reliability.md, from what is kept."""
    outcomes = results(kept)
    told = {path.stem: json.loads(path.read_text()) for path in sorted((kept / "figures").glob("*.json"))}
    amounts = json.loads((kept / "amounts.json").read_text()) if (kept / "amounts.json").exists() else {}
    rows = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}",
        "load": f"{os.getloadavg()[2]:.1f} processes wanted to run, on average, at the end: times below are of a "
        "machine that was busy with other work" if os.getloadavg()[2] > (os.cpu_count() or 1) else "a quiet machine",
        "amounts": "several runs, added up: each row says how much was done"
        if len(list(kept.glob("results-*.xml"))) > 1
        else " ".join(f"`{key}={value}`" for key, value in amounts.items()) or "those of `make test`",
    }  # fmt: skip
    text = HEAD + "".join(f"| {key} | {value} |\n" for key, value in rows.items())
    for part in PARTS:
        text += f"\n## {part.title}\n\n{part.words}\n\n| what | bar | result | shown by |\n|---|---|---|---|\n"
        text += "".join(_line(row, outcomes, told) for row in part.rows)
    return text


def _line(row: Row, outcomes: dict[str, str], told: dict[str, Any]) -> str:
    found = [outcomes.get(test, "") for test in row.tests]
    verdict = "failed" if "failed" in found else next((each for each in ("passed", "skipped") if each in found), "")
    words = WORDS[verdict]
    for name, form in row.figures.items():
        if name in told:
            words += "; " + form.format(**{key: _said(value) for key, value in told[name].items()})
    shown = "<br>".join(
        f"`{test}`" + ("" if outcomes.get(test) == verdict else f" ({WORDS[outcomes.get(test, '')]})")
        for test in row.tests
    )
    return f"| {row.what} | {row.bar} | {words} | {shown} |\n"


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, list):
        return " to ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else value


if __name__ == "__main__":
    sys.exit(main())
