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
from typing import Any, NamedTuple
from xml.etree import ElementTree

import psutil

from tests.daemon_stand_in import ROOT
from tests.proof.rows import PARTS, Row, all_tests, named

DOCUMENT = ROOT / "docs" / "reliability.md"
WORDS = {"passed": "holds", "failed": "**FAILS**", "skipped": "skipped on this machine", "": "not run"}

HEAD = """\
# Reliability

What the daemon promises, what was done to it, and what came out. This page is written by `make proof`
(`python -m tests.proof`); every row names the tests that show it. To reproduce a row with the amounts that it asks for:
`.venv/bin/python -m tests.proof --row K1` (several at once: `--row K1 --row P3`). `make proof` runs all of them for
`MINUTES`, `make soak` for hours, `make test` a little of each. Runs are added up; a test whose last run is older than
its row's has the day behind its name.

| | |
|---|---|
"""

COLUMNS = "| | what | bar | result | last run | shown by |\n|---|---|---|---|---|---|\n"


def main() -> int:
    """Run what is asked for, and write the document."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--row", action="append", default=[], help="a row of the report, to be run and told alone")
    parser.add_argument("--minutes", type=float, help="about how long the long suites may take together: 25, or, for "
                        "single rows, as long as they need")  # fmt: skip
    parser.add_argument("--kills", type=int, default=25, help="kills at each step")
    parser.add_argument("--random-kills", type=int, default=1000, help="kills at random times")
    parser.add_argument("--stride", type=int, default=1, help="every how many calls one fails")
    parser.add_argument("--hunters", type=int, default=3, help="daemons that are killed at the same time")
    parser.add_argument("--stream-s", type=int, help="for how long a bundle comes each second: 60, an hour for its row")
    parser.add_argument("--away-s", type=int, help="for how long a share is away: 60, 10 minutes for its row")
    parser.add_argument("--kept", type=Path, help="a folder that figures and results are kept in, and read from")
    parser.add_argument("--write-only", action="store_true", help="run nothing: write what --kept holds")
    parser.add_argument("--select", default="", help="as pytest's -k, of the proof's own suites and the tests named")
    given = parser.parse_args()
    if unknown := set(given.row) - set(named()):
        parser.error(f"no row is called {', '.join(sorted(unknown))}: there are {', '.join(named())}")
    kept = given.kept or Path(tempfile.mkdtemp(prefix="proof-"))
    failed = 0 if given.write_only else run(given, kept)
    if given.row:
        outcomes, told = results(kept), figures(kept)
        print("".join(_line(name, named()[name], outcomes, told) for name in given.row), end="")
    else:
        DOCUMENT.write_text(document(kept), encoding="utf-8")
        print(f"{DOCUMENT} is written")
    print(f"figures and results are kept in {kept}")
    return failed


def amounts_of(given: argparse.Namespace) -> dict[str, str]:
    """The environment that tells the suites how much to do."""
    single = bool(given.row)
    minutes = given.minutes or (24 * 60 if single else 25)
    share = minutes * 60
    return {
        "PROOF_HUNTERS": str(given.hunters),
        "PROOF_KILLS": str(given.kills),
        "PROOF_CRASH_POINTS_S": f"{0.4 * share:.0f}",
        "PROOF_RANDOM_KILLS": str(given.random_kills),
        "PROOF_RANDOM_KILLS_S": f"{0.2 * share:.0f}",
        "PROOF_FAULT_STRIDE": str(given.stride),
        "PROOF_FAULTS_S": f"{0.05 * share:.0f}",
        "PROOF_FAULTS_POINTS_S": f"{0.15 * share:.0f}",
        "PROOF_FAULTS_LASTING_S": f"{0.05 * share:.0f}",
        "PROOF_LASTING_STRIDE": str(7 * given.stride),
        "PROOF_CALL_STRIDE": str(given.stride),
        "PROOF_CALLS_S": f"{0.02 * share:.0f}",
        "PROOF_MODEL": str(max(4, min(1000, round(2 * minutes)))),
        "PROOF_STORE_MODEL": str(max(8, min(1000, round(2 * minutes)))),
        "PROOF_FUZZ_S": f"{min(600, 0.01 * share):.0f}",
        "PROOF_GUIDED_S": f"{min(600, 0.01 * share):.0f}",
        "PROOF_STREAM_S": str(given.stream_s or (3600 if single else 60)),
        "PROOF_AWAY_S": str(given.away_s or (600 if single else 60)),
        "PROOF_WRITERS": "200",
    }


def run(given: argparse.Namespace, kept: Path) -> int:
    """Run the suites and every test that a row names."""
    kept.mkdir(parents=True, exist_ok=True)
    begun = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1",
        f"--junitxml={kept / f'results-{begun}.xml'}",
        *(["-k", given.select] if given.select else []), *all_tests(given.row),
    ]  # fmt: skip
    amounts = amounts_of(given)
    (kept / "amounts.json").write_text(json.dumps(amounts))
    environment = {**os.environ, **amounts, "PROOF_FIGURES": str(kept.absolute() / "figures")}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


class Outcome(NamedTuple):
    """What came of a test in the last run that had it. word: a key of WORDS. day: of that run, as 2026-12-31."""

    word: str = ""
    day: str = ""


def results(kept: Path) -> dict[str, Outcome]:
    """Each test, its parameters left out: passed, failed or skipped; the last run that had it counts."""
    found: dict[str, Outcome] = {}
    for path in sorted(kept.glob("results-*.xml")):
        here: dict[str, Outcome] = {}
        for suite in ElementTree.parse(path).iter("testsuite"):
            day = str(suite.get("timestamp") or "")[:10]
            for case in suite.iter("testcase"):
                name = _name_of(case)
                here[name] = Outcome(_worse(here.get(name, Outcome()).word, _word_of(case)), day)
        found |= here
    return found


def _name_of(case: ElementTree.Element) -> str:
    """A test as rows name it."""
    name = str(case.get("name")).partition("[")[0]
    if name == "runTest":  # a machine of hypothesis: the class is the test; the file that is told is hypothesis's own
        module, _, machine = str(case.get("classname")).rpartition(".")
        return f"{module.replace('.', '/')}.py::{machine}"
    file = case.get("file") or str(case.get("classname")).replace(".", "/") + ".py"
    return f"{file}::{name}"


def _word_of(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def figures(kept: Path) -> dict[str, Any]:
    """What the tests have told, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((kept / "figures").glob("*.json"))}


def runs(kept: Path) -> tuple[int, str]:
    """How many runs are added up, and on which days they were."""
    suites = [each for path in kept.glob("results-*.xml") for each in ElementTree.parse(path).iter("testsuite")]
    days = sorted(str(suite.get("timestamp") or "")[:10] for suite in suites)
    days = [day for day in days if day] or [datetime.now(UTC).strftime("%Y-%m-%d")]
    return len(suites), days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def _worse(one: str, other: str) -> str:
    order = ("", "skipped", "passed", "failed")
    return max(one, other, key=order.index)


def document(kept: Path) -> str:
    """docs/reliability.md, from what is kept."""
    outcomes, told = results(kept), figures(kept)
    count, days = runs(kept)
    amounts = json.loads((kept / "amounts.json").read_text()) if (kept / "amounts.json").exists() else {}
    rows = {
        "date": days,
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}",
        "load": f"{os.getloadavg()[2]:.1f} processes wanted to run, on average, at the end: times below are of a "
        "machine that was busy with other work" if os.getloadavg()[2] > (os.cpu_count() or 1) else "a quiet machine",
        "amounts": f"{count} runs, added up: each row says how much was done"
        if count > 1
        else " ".join(f"`{key}={value}`" for key, value in amounts.items()) or "those of `make test`",
    }  # fmt: skip
    text = HEAD + "".join(f"| {key} | {value} |\n" for key, value in rows.items())
    for part in PARTS:
        text += f"\n## {part.title}\n\n{part.words}\n\n{COLUMNS}"
        text += "".join(_line(f"{part.letter}{number}", row, outcomes, told) for number, row in enumerate(part.rows, 1))
    return text


def _line(name: str, row: Row, outcomes: dict[str, Outcome], told: dict[str, Any]) -> str:
    found = {test: outcomes.get(test, Outcome()) for test in row.tests}
    words = {each.word for each in found.values()}
    verdict = next((each for each in ("failed", "passed", "skipped") if each in words), "")
    day = max(each.day for each in found.values())
    result = WORDS[verdict]
    for figure, form in row.figures.items():
        if figure in told:
            result += "; " + form.format(**{key: _said(value) for key, value in told[figure].items()})
    shown = "<br>".join(f"`{test}`{_apart(each, verdict, day)}" for test, each in found.items())
    return f"| {name} | {row.what} | {row.bar} | {result} | {day or '-'} | {shown} |\n"


def _apart(outcome: Outcome, verdict: str, day: str) -> str:
    """What sets a test apart from its row: another outcome, or an earlier day of its last run."""
    notes = [WORDS[outcome.word]] if outcome.word != verdict else []
    notes += [outcome.day] if outcome.day and outcome.day != day else []
    return f" ({', '.join(notes)})" if notes else ""


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, list):
        if value and all(isinstance(each, str) for each in value):
            return ", ".join(value)
        return " to ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else value


if __name__ == "__main__":
    sys.exit(main())
