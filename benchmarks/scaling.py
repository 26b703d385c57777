"""How much one driver bears: queued trials, trials at once, reports per second, runs in the store, nodes.

    python benchmarks/scaling.py [--quick] [--out raw.json] [--write docs/scaling.md] [--plot scaling.png]
                                 [--growth growth.png]
    python benchmarks/scaling.py --read raw.json [--write ...] [--plot ...]    # measures nothing

The driver is the product's own (`scaling_driver.py`); only trials are pretended (`scaling_trials.py`), and
more of them than this machine can hold share a few processes. At a width where both are possible each is
measured, in turns: that is how far the larger numbers can be trusted. Prints tables in Markdown; `--write`
puts them into the page, each in place of the table under its marker. The whole takes 25 minutes on two
cores, `--quick` under two.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from benchmarks_machine import machine

HERE = Path(__file__).parent
EMPTY = "\n\n"  # an empty line
LONG = 1_000_000  # epochs: a trial that outlasts the measurement
Point = dict[str, Any]


def points(*, quick: bool) -> Iterator[tuple[str, list[str]]]:
    """Every measurement: its kind, and the words of its command."""

    def driver(kind: str, **case: Any) -> tuple[str, list[str]]:
        return kind, ["scaling_driver.py", json.dumps(case)]

    for trials in (20, 200) if quick else (10, 100, 1000, 10_000):
        yield driver("queue", trials=trials, width=2, trial="alone")
    if not quick:
        yield driver("queue", trials=300, width=2, trial="alone", store="mlflow")
    phase = 3 if quick else 10
    both = 4 if quick else 32
    for _ in range(1 if quick else 2):
        for place, width in (
            ("alone", both),
            ("hosted", both),
            *((("hosted", 100),) if quick else (("hosted", 1), ("hosted", 100), ("hosted", 1000))),
        ):
            rates = (min(100, 10 * width), 0)
            yield driver(
                "width", trials=width, width=width, trial=place, epochs=LONG, rates=rates, phase_s=phase
            )
    if not quick:
        for store, width, rates in (
            ("none", 100, (10, 50, 0)),
            ("journal", 100, (10, 50, 0)),
            ("mlflow", 100, (10, 50, 0)),
            ("mlflow", 300, (30, 100)),  # seldom enough that each report is a write of its own
        ):
            case = {"trials": width, "width": width, "epochs": LONG, "phase_s": 20}
            yield driver("store", **case, rates=rates, store=store)
    yield (
        "runs",
        ["scaling_stores.py", "runs", *(("50", "320") if quick else ("100", "300", "1000", "3000", "10000"))],
    )
    for number in (1, 2) if quick else (1, 2, 3, 8, 24):
        yield "nodes", ["scaling_stores.py", "nodes", str(number)]


def measured(*, quick: bool) -> dict[str, list[Point]]:
    """The answers of every measurement, each in a process of its own, by kind."""
    found: dict[str, list[Point]] = {}
    begun = time.monotonic()
    for kind, words in points(quick=quick):
        command = [sys.executable, str(HERE / words[0]), *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not lines:
            sys.exit(f"{' '.join(words)}: no answer, exit code {done.returncode}\n{done.stderr[-2000:]}")
        found.setdefault(kind, []).extend(lines)
        print(f"{time.monotonic() - begun:5.0f} s  {kind:6} {' '.join(words[1:])}", file=sys.stderr)
    return found


def queue_table(answers: Sequence[Point]) -> str:
    """By the length of the queue."""
    rows = []
    for one in answers:
        early, late = one["wall_s_per_trial"]
        cpu = one["main_s_per_trial"]
        memory = one["memory_mb"]
        rows.append(
            [
                f"{one['case']['trials']:,}".replace(",", " "),
                {"none": "nothing", "mlflow": "MLflow, SQLite"}[one["case"]["store"]],
                f"{one['first_s']:.1f} s",
                f"{1000 * early:.0f} → {1000 * late:.0f} ms",
                f"{1000 * cpu[0]:.1f} → {1000 * cpu[1]:.1f} ms",
                f"{one['run_s'] - one['last_s']:.1f} s",
                f"{memory[0]:.0f} → {memory[-1]:.0f} MB",
            ]
        )
    heads = [
        "queued",
        "store",
        "first trial after",
        "wall per trial",
        "driver's CPU per trial",
        "end",
        "memory",
    ]
    return table(heads, rows)


def width_table(answers: Sequence[Point]) -> str:
    """By the number of trials at once, medians over rounds."""
    rows = []
    for (width, place), group in grouped(answers, "width", "trial").items():
        fill = f"{median(one['filled_s'] - one['first_s'] for one in group):.1f} s"
        for number, rate in enumerate(group[0]["case"]["rates"]):
            phases = [one["phases"][number] for one in group]
            rows.append(
                [
                    str(width),
                    {"alone": "a process each", "hosted": "simulated"}[place],
                    fill if number == 0 else "",
                    f"{rate:g}" if rate else "all that go",
                    f"{median(one['reports_per_s'] for one in phases):.0f}",
                    f"{100 * median(one['main_share'] for one in phases):.0f} %",
                    " / ".join(_ms(median(one["lag_ms"][q] for one in phases)) for q in (0, 1)),
                    f"{1000 * median(per_report(one) for one in phases):.2f}",
                    " + ".join(
                        f"{1000 * median(per_report(one, part) for one in phases):.2f}"
                        for part in ("tune", "wait", "get", "listen", "record")
                    ),
                ]
            )
    heads = ["at once", "trials", "to start", "asked /s", "reports /s", "main thread"]
    heads += ["lag, median / 99 %", "CPU ms per report", "tune + wait + get + listen + record"]
    return table(heads, rows)


def store_table(answers: Sequence[Point]) -> str:
    """By what stands behind the driver."""
    rows = []
    for one in answers:
        for phase in one["phases"]:
            behind = one["case"]["store"] != "none"
            rows.append(
                [
                    {"none": "nothing", "journal": "journal alone", "mlflow": "journal, MLflow on SQLite"}[
                        one["case"]["store"]
                    ],
                    str(one["case"]["width"]),
                    f"{phase['rate']:g}" if phase["rate"] else "all that go",
                    f"{phase['reports_per_s']:.0f}",
                    f"{phase['carried_per_s']:.0f}" if behind else "",
                    f"{100 * phase['main_share']:.0f} %",
                    f"{100 * phase['carrier_share']:.0f} %" if behind else "",
                    " / ".join(_ms(value) for value in phase["lag_ms"]),
                    f"{1000 * per_report(phase, 'record'):.2f}",
                ]
            )
    heads = ["store", "at once", "asked /s", "reports /s", "delivered /s", "main thread", "delivering thread"]
    return table([*heads, "lag, median / 99 %", "record, CPU ms"], rows)


def runs_table(answers: Sequence[Point]) -> str:
    """By the number of runs that MLflow has."""
    rows = [
        [
            f"{one['runs']:,}".replace(",", " "),
            f"{one['plan_s']:.1f} s, {max(0, one['plan_mb']):.0f} MB",
            f"{one['read_s']:.2f} s",
            *(
                f"{1000 * one[name]:.0f} ms"
                for name in ("begin_s", "report_s", "finish_s", "claim_s", "beat_s")
            ),
        ]
        for one in answers
    ]
    heads = ["runs", "read all records: by MLflow", "without it", "a trial begins", "a report"]
    return table([*heads, "a trial ends", "claim all", "heartbeat"], rows)


def nodes_table(answers: Sequence[Point]) -> str:
    """By the number of nodes."""
    rows = [
        [
            str(one["nodes"]),
            f"{one['cold_s']:.1f} s",
            f"{1000 * one['cold_cpu_s']:.0f} ms",
            f"{1000 * one['warm_s']:.0f} ms",
        ]
        for one in answers
    ]
    return table(["nodes", "look over, first", "of it the driver's CPU", "again"], rows)


def growth(answers: dict[str, list[Point]]) -> list[tuple[str, str, list[tuple[float, float]]]]:
    """What grows, with what, and the seconds of all together at each number, in order."""
    queues = [one for one in answers["queue"] if one["case"]["store"] == "none"]
    found = [
        ("main thread, all trials", "queued trials", [_queue_cost(one) for one in queues]),
        ("reading every record", "runs", [(one["runs"], one["read_s"]) for one in answers["runs"]]),
        ("a second look at every node", "nodes", [(one["nodes"], one["warm_s"]) for one in answers["nodes"]]),
    ]
    return [(what, number, sorted(points)) for what, number, points in found]


def _queue_cost(answer: Point) -> tuple[float, float]:
    trials, (early, late) = answer["case"]["trials"], answer["main_s_per_trial"]
    return trials, trials * (early + late) / 2


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """p of cost ∝ number^p, by least squares of the logarithms: 1 is linear."""
    numbers, seconds = zip(*points, strict=True)
    return float(np.polyfit(np.log(numbers), np.log(seconds), 1)[0])


def growth_table(answers: dict[str, list[Point]]) -> str:
    """What each of many costs, at the ends, and how all together grow."""
    rows = []
    for what, number, points in growth(answers):
        (few, less), (many, more) = points[0], points[-1]
        ends = f"{1000 * less / few:.1f} → {1000 * more / many:.1f} ms"
        rows.append([what, f"{few:,} → {many:,} {number}".replace(",", " "), ends, f"{exponent(points):.2f}"])
    return table(["what", "from → to", "of each", "exponent"], rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def grouped(answers: Sequence[Point], *names: str) -> dict[tuple[Any, ...], list[Point]]:
    """Answers of equal cases together."""
    found: dict[tuple[Any, ...], list[Point]] = {}
    for one in answers:
        found.setdefault(tuple(one["case"][name] for name in names), []).append(one)
    return dict(sorted(found.items()))


def per_report(phase: Point, part: str | None = None) -> float:
    """Seconds of the main thread's processor time per report."""
    spent: float = phase["main_s"][part] if part else sum(phase["main_s"].values())
    return spent / max(1, phase["reports"])


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


TABLES = {
    "queue": queue_table,
    "width": width_table,
    "store": store_table,
    "runs": runs_table,
    "nodes": nodes_table,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--growth", type=Path, help="a figure of how costs grow")
    asked = parser.parse_args()
    if asked.read:
        raw = json.loads(asked.read.read_text())
    else:
        raw = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
        raw["answers"] = measured(quick=asked.quick)
    if asked.out:
        asked.out.write_text(json.dumps(raw, indent=1))
    tables = {"machine": f"{raw['machine']}; {raw['date']}."}
    tables |= {kind: TABLES[kind](answers) for kind, answers in raw["answers"].items()}
    tables["growth"] = growth_table(raw["answers"])
    print("\n\n".join(tables.values()))
    if asked.write:
        asked.write.write_text(replaced(asked.write.read_text(), tables))
    if asked.plot:
        from scaling_plot import draw

        draw(asked.plot, raw["answers"])
    if asked.growth:
        from scaling_plot import draw_growth

        curves = [(*one, exponent(one[2])) for one in growth(raw["answers"])]
        draw_growth(asked.growth, curves)


def replaced(page: str, tables: dict[str, str]) -> str:
    """`page` with each table in place of what stands between its marker and the next empty line."""
    for kind, text in tables.items():
        before, marker, after = page.partition(f"<!-- measured: {kind} -->\n")
        if not marker:
            sys.exit(f"no marker <!-- measured: {kind} --> in the page")
        page = f"{before}{marker}{text}\n\n{after.partition(EMPTY)[2]}"
    return page


if __name__ == "__main__":
    main()
