"""Mutated sweep files: each is a valid plan or a one-line error with file and line, in under a second."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from orchestrator.answer import publish as answer
from orchestrator.errors import OrchError, Problem, SpecError
from orchestrator.language.load import load
from orchestrator.planning.expand import expand

SWEEPS = Path(__file__).parents[2] / "sweeps"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(SWEEPS.glob("*.yaml"))}
BASES = {f"base/{path.name}": path.read_text(encoding="utf-8") for path in sorted(SWEEPS.glob("base/*.yaml"))}
WORDS = [
    "", "~", "null", "true", "-1", "0", "1e999", ".nan", ".inf", "-.inf", "1e-3", "99999999999999999999999",
    "''", '"', "[", "]", "{", "}", "{}", "[]", "[1, 2", "&a [*a]", "*a", "<<: *a",
    "!!python/object/apply:os.system [ls]", "!!binary x", "|", ">", "---", "...", "%YAML 3.0",
    "\t", "é", "\u0000", "\ufeff", "💥", "a: b: c", "? x", "- - -", "name", "byol", "trainer: modes",
    "trainer", "cells", "base", "when: {}", "extends: x.yaml", "extends: base/cifar10.yaml", "seeds: -3",
    "seeds: [1, 1]", "path: .a", "path: a..b", "method.momentum", "values: []", "levels: {}",
    "samples: 1e9", "loguniform: [0, 1]", "zip: {a: [1], b: [1, 2]}", "version: 2", "size: 1000000000",
    "epochs: 0", "lr: -1", "where: {a: b}", "expected: up", "spread: [[1]]", "design: leave_one_out",
]  # fmt: skip
MOST_SECONDS = 1.0


def mutated(text: str, rng: random.Random) -> str:
    """`text` with a few small or brutal changes."""
    lines = text.split("\n")
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(lines))
        line = lines[at]
        match rng.randrange(11):
            case 0:
                del lines[at]
                lines = lines or [""]
            case 1:
                lines.insert(at, lines[rng.randrange(len(lines))])
            case 2:
                lines[at] = line + " " + rng.choice(WORDS)
            case 3:
                lines[at] = rng.choice(WORDS)
            case 4:
                lines[at] = line.partition(":")[0] + ": " + rng.choice(WORDS)
            case 5 if line:
                spot = rng.randrange(len(line))
                lines[at] = line[:spot] + rng.choice(WORDS) + line[spot + rng.randrange(4) :]
            case 6:
                lines[at] = " " * rng.randrange(9) + line.lstrip()
            case 7 if line:
                spot = rng.randrange(len(line))
                lines[at] = line[:spot] + chr(rng.randrange(1, 0x300)) + line[spot + 1 :]
            case 8:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 9:
                lines = lines[: at + 1]
            case _:
                lines[at] = line.replace(": ", rng.choice((":", " : ", "::", ": - ", ": [", ": {")), 1)
    return "\n".join(lines)


def read(name: str, child: str | None, text: str) -> tuple[str, str]:
    """The mutated file, and the real ones it may extend."""
    if child is None:
        return name, text
    target = name if "/" in name else f"base/{name}"
    if target not in BASES:
        raise SpecError([Problem(f"{child}:1", "extends", f"no such file: {name}")])
    return target, BASES[target]


def checked(text: str) -> str:
    """What becomes of a sweep file: "plan", or "error" if it is told as errors are to be told."""
    try:
        spec = load("x.yaml", lambda name, child: read(name, child, text))
        for profile in [*spec.profiles][:2] or [None]:
            answer.check(expand(spec, profile=profile, default_place="x.yaml:1"))
    except OrchError as error:
        for line in str(error).splitlines():
            assert line.strip() and len(line) < 2000
            if isinstance(error, SpecError) and not line.startswith("... and "):
                place, _, words = line.partition(": ")
                file, _, number = place.rpartition(":")
                assert file.endswith(".yaml") and number.isdigit() and words, line
        return "error"
    return "plan"


def fuzzed(number: int, seed: int) -> dict[str, int]:
    """Counts of what became of `number` mutations."""
    rng, counts = random.Random(seed), {"plan": 0, "error": 0}
    names = sorted(TEXTS)
    for index in range(number):
        text = mutated(TEXTS[rng.choice(names)], rng)
        started = time.process_time()
        try:
            counts[checked(text)] += 1
        except Exception as error:
            raise AssertionError(f"mutation {index} of seed {seed}: {error!r}\n{text}") from error
        spent = time.process_time() - started
        assert spent < MOST_SECONDS, f"mutation {index} of seed {seed} took {spent:.2f} s\n{text}"
    return counts


def test_mutated_sweep_files_are_a_plan_or_an_error_with_its_line() -> None:
    counts = fuzzed(150, seed=0)
    assert min(counts.values()) > 10  # neither always refused nor always taken


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_ten_thousand_mutated_sweep_files_are_a_plan_or_an_error_with_its_line(seed: int) -> None:
    counts = fuzzed(1000, seed=seed)
    assert min(counts.values()) > 50


def test_a_condition_that_is_no_mapping_is_an_error() -> None:  # found by the ten thousand
    text = TEXTS["dynamics_training.yaml"].replace("when: {arm: [theory]}", "when: .inf")
    with pytest.raises(SpecError, match=r"when: expected \{axis: level\}, or"):
        load("x.yaml", lambda name, child: read(name, child, text))


def test_a_tag_that_would_call_python_is_an_error() -> None:
    assert checked("version: 1\nname: x\nbase: !!python/object/apply:os.getcwd []\n") == "error"
