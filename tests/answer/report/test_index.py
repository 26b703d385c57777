"""An index of claims has a row for each, says what was run, and no more than the seeds show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.answer import publish
from orchestrator.answer.comparison.expectations import written_down
from orchestrator.answer.report.index import MADE, Section, answered, index, section
from orchestrator.planning.expand import Expansion
from orchestrator.records import TrialRecord
from tests.builders import PUBLISHED, TINY, expansion, indented, record, table_yaml, yaml

CLAIMED = """
    axes:
      lr: {path: optimizer.lr, values: [0.1, 0.2]}
    seeds: 6
    tables:
      - name: main
        rows: lr
        metric:
          - metric: probe/top1
            expected: rising
            claim: faster is better
            source: "a paper, §1"
            expectations:
              - {cell: {lr: 0.2}, at_least: 10, claim: it learns, source: "a paper, §2: 20"}
          - metric: knn/top1
            claim: neighbours, too
            published: {source: a benchmark, tolerance: 5, values: [[40], [null]]}
            expectations:
              - {cell: {lr: 0.1}, minus: {lr: 0.2}, at_most: 0, claim: neighbours agree}
"""


def claimed(**how: Any) -> Expansion:
    return expansion(yaml(TINY, CLAIMED), **how)


def trained(whole: Expansion, *, predicted: bool = True) -> dict[str, TrialRecord]:
    """A record per trial, better at the higher rate."""
    found = {}
    for one in whole.trials:
        value = 0.4 + one.seed / 1000 + 0.2 * ("0.2" in one.cell.label)
        expected = written_down(whole) if predicted else {}
        metrics = {"probe/top1": value, "knn/top1": value - 0.02}
        found[one.id] = record(one.id, None, metrics=metrics, expected=expected)
    return found


def told(whole: Expansion, records: Mapping[str, TrialRecord]) -> Section:
    problems: list[str] = []
    tables = publish.tables(whole, records, problems)
    return section(whole, tables, problems=problems, command="orch sweep tiny.yaml")


def rows(page: str) -> list[list[str]]:
    """The cells of each row of a claim."""
    lines = [line for line in page.splitlines() if line.endswith("`orch sweep tiny.yaml` |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_claim_of_every_metric_of_a_table_is_a_row() -> None:
    whole = claimed()
    page = index([told(whole, trained(whole))], {})
    assert [row[0] for row in rows(page)] == [
        "faster is better: rising along lr (probe/top1 in %)",
        "it learns: '0.2' at least 10 % (probe/top1 in %)",
        "neighbours, too: 0.1 (knn/top1 in %)",
        "neighbours agree: knn/top1 of '0.1' minus '0.2' at most 0 points (knn/top1 in %)",
    ]
    assert [row[5] for row in rows(page)] == ["reproduced"] * 4
    assert "**4 claims: 4 reproduced.**" in page and page.startswith(MADE)


def test_what_counts_as_reproduced_is_told_as_it_is_judged() -> None:
    # Ours is 4.2 points below: beyond the tolerance, and within twice the spread.
    text = CLAIMED.replace("tolerance: 5, values: [[40], [null]]", "tolerance: 1, values: [[42.5], [null]]")
    wide = expansion(yaml(TINY, text.replace("values: [[42.5]", "spread: [[2.3], [null]], values: [[42.5]")))
    narrow = expansion(yaml(TINY, text))
    page, other = (index([told(one, trained(one))], {}) for one in (wide, narrow))
    assert [row[5] for row in rows(page)][2] == "reproduced" and [row[5] for row in rows(other)][2] == "not"
    assert "or within two published standard\n  deviations where those are more" in page
    assert "(-4.2) ✓" in rows(page)[2][1] and "(-4.2) ✗" in rows(other)[2][1]


def test_a_row_says_published_ours_with_interval_n_setting_verdict_and_command() -> None:
    whole = claimed()
    row = rows(index([told(whole, trained(whole))], {}))[2]
    assert row[1] == "40.0 (-1.8) ✓"
    assert row[2:4] == ["38.2 ± 0.2 (38.1 to 38.4)", "6"]
    assert row[4] == "shapes, mlp, 2 epochs"


def test_what_was_not_run_is_told_with_the_command_that_would_and_with_no_number() -> None:
    begun = {one.id: record(one.id, None, status="stopped") for one in claimed().trials[::2]}
    assert {row[5] for row in rows(index([told(claimed(), begun)], {}))} == {"not run"}
    page = index([told(claimed(), {})], {})
    assert {row[5] for row in rows(page)} == {"not run"}
    assert {(row[2], row[3]) for row in rows(page)} == {("", "")}
    assert "**4 claims: 4 not run.**" in page


def test_one_seed_of_something_random_decides_nothing() -> None:
    whole = claimed(seeds=[0])
    page = index([told(whole, trained(whole))], {})
    assert {row[5] for row in rows(page)} == {"undecided at n = 1"}
    plain = expansion(table_yaml(PUBLISHED), seeds=[0])
    records = {one.id: record(one.id, 0.85) for one in plain.trials}
    assert {row[5] for row in rows(index([told(plain, records)], {}))} == {"undecided at n = 1"}


def test_a_number_of_another_setting_is_not_testable_and_one_outside_is_not_reproduced() -> None:
    other = "profiles: {laptop: {}, paper: {}}\n"
    text = table_yaml(PUBLISHED.replace("tolerance", "profile: paper\n          tolerance")) + other
    for profile, verdict in (("laptop", "not testable at this scale"), ("paper", "not")):
        whole = expansion(text, profile=profile)
        records = {one.id: record(one.id, 0.5) for one in whole.trials}
        assert {row[5] for row in rows(index([told(whole, records)], {}))} == {verdict}


def test_an_expectation_that_was_written_after_training_says_so_in_its_verdict() -> None:
    whole = claimed()
    late = rows(index([told(whole, trained(whole, predicted=False))], {}))[1]
    assert late[5] == "reproduced; all its 6 trials began without it"


def test_what_diverged_is_told_and_nothing_is_made_of_it() -> None:
    whole = expansion(table_yaml(PUBLISHED))
    gone = {one.id: record(one.id, None, status="diverged") for one in whole.trials}
    assert {row[5] for row in rows(index([told(whole, gone)], {}))} == {"no number: 2 diverged"}


def test_notes_stand_above_all_and_below_their_sweep_and_give_the_order() -> None:
    first, second = told(claimed(), {}), told(claimed(), {})._replace(name="other")
    page = index([first, second], {"": "# Mine\n\nHello.\n", "other": "\nWhy: so.\n"})
    assert page.index("# Mine") < page.index("## other") < page.index("Why: so.") < page.index("## tiny")


def test_words_of_a_claim_cannot_break_the_table() -> None:
    text = yaml(TINY, CLAIMED)
    whole = expansion(text.replace("claim: it learns", 'claim: "a | b\\n# c <b>"'))
    page = index([told(whole, {})], {})
    assert "a \\| b # c \\<b>: '0.2'" in page


def test_a_verdict_and_a_command_cannot_break_the_table_either() -> None:
    whole = told(claimed(), {})
    odd = [one._replace(answer="not; edited, trained under: 'a | b'\n*c*") for one in whole.claims]
    page = index([whole._replace(claims=odd, command="orch sweep 'a|b.yaml'")], {})
    ends = "| not; edited, trained under: 'a \\| b' \\*c\\* | `orch sweep 'a\\|b.yaml'` |"
    assert len([line for line in page.splitlines() if line.endswith(ends)]) == len(odd)


@pytest.mark.parametrize(("profile", "verdict"), [("paper", "not"), ("laptop", "not testable at this scale")])
def test_an_accuracy_of_the_published_setting_is_expected_of_no_other(profile: str, verdict: str) -> None:
    published = PUBLISHED.replace("tolerance", "profile: paper\n          tolerance")
    said = """
        expectations:
          - {cell: {ema: EMA, predictor: regular}, at_least: 80}
          - {cell: {ema: EMA, predictor: regular}, minus: {ema: No EMA, predictor: regular}, at_least: 80}
"""
    whole = expansion(
        table_yaml(published + said) + "profiles: {laptop: {}, paper: {}}\n", profile=profile, seeds=range(8)
    )
    records = {one.id: record(one.id, 0.5, expected=written_down(whole)) for one in whole.trials}
    found = [row[5] for row in rows(index([told(whole, records)], {}))[-2:]]
    assert found == [verdict, "not"]


def test_notes_without_words_above_the_first_sweep_leave_the_usual_title() -> None:
    page = index([told(claimed(), {})], {"": "\n", "tiny": "Why: so."})
    assert page.startswith(f"{MADE}\n\n# Published and ours\n\n**4 claims")


def test_a_claims_words_and_source_are_no_part_of_what_trials_are_trained_under() -> None:
    plain = yaml(TINY, CLAIMED)
    for words in (', claim: it learns, source: "a paper, §2: 20"', ", claim: neighbours agree"):
        plain = plain.replace(words, "")
    bare, whole = expansion(plain), claimed()
    assert written_down(bare) == written_down(whole)
    assert [one.id for one in bare.trials] == [one.id for one in whole.trials]
    assert len(written_down(whole)) == 2


@pytest.mark.parametrize("drawn", [True, False])
def test_a_trainer_that_draws_nothing_needs_one_seed(drawn: bool) -> None:
    base = "trainer: linear_dynamics, time: 1" if drawn else "trainer: modes"
    text = f"version: 1\nname: tiny\nbase: {{{base}}}\naxes: {{η: {{path: eta, values: [0.1, 0.2]}}}}\n"
    text += "tables: [{name: a, rows: η, metric: modes/s, expected: falling}]\n"
    whole = expansion(text)
    records = {
        one.id: record(one.id, None, metrics={"modes/s": 1.0 - i}) for i, one in enumerate(whole.trials)
    }
    (row,) = rows(index([told(whole, records)], {}))
    assert row[5] == ("undecided at n = 1" if drawn else "reproduced")


def test_a_command_with_a_bar_does_not_break_its_row() -> None:
    whole = claimed()
    one = section(whole, publish.tables(whole, trained(whole), []), problems=(), command="orch import 'a|b'")
    bars = {
        len(re.findall(r"(?<!\\)\|", line)) for line in index([one], {}).splitlines() if "orch import" in line
    }
    assert bars == {8}


def test_a_claim_that_was_run_in_two_settings_is_one_claim_in_two_rows() -> None:
    one = told(claimed(), trained(claimed()))
    page = index([one, one._replace(setting="another"), told(claimed(), {})._replace(name="other")], {})
    assert len(rows(page)) == 12
    several = "for some were run in several settings or stand in several tables"
    said = f"**8 claims, in 12 rows, {several}: 8 reproduced, 4 not run.**"
    assert said in page


def test_an_index_without_claims_says_so() -> None:
    assert "**0 claims.**" in index([], {})


def test_tables_that_say_the_same_of_other_trials_make_claims_of_their_own() -> None:
    ours = """
        - name: {name}
          rows: predictor
          where: {{ema: {arm}}}
          published: {{source: a paper, tolerance: 1.5, values: [[85.7], [20.3]]}}
    """
    both = "".join(
        indented(ours.format(name=name, arm=arm)) for name, arm in (("with", "EMA"), ("without", "No EMA"))
    )
    whole = expansion(table_yaml().partition("tables:")[0] + "tables:\n" + both)
    here = {one.id: record(one.id, 0.85) for one in whole.trials if one.cell.label.startswith("EMA")}
    page = index(answered([told(whole, here)], told(whole, {})), {})
    assert "**4 claims: " in page and "2 not run" in page
    assert [row[0] for row in rows(page)] == [
        *("EMA · symmetric (probe/top1 in %)", "EMA · regular (probe/top1 in %)"),
        *("No EMA · symmetric (probe/top1 in %)", "No EMA · regular (probe/top1 in %)"),
    ]


def test_notes_on_a_sweep_without_claims_are_shown() -> None:
    silent = told(expansion(table_yaml()), {})
    assert "## tiny" not in index([silent], {})
    page = index([silent], {"tiny": "Why it is here.\n"})
    assert page.index("## tiny") < page.index("No claim.") < page.index("Why it is here.")


def test_no_line_of_a_question_or_a_source_is_a_heading_and_no_words_are_markup() -> None:
    hostile = told(claimed(), {})._replace(
        name="Tiny.Name", question="First\n\n## second ~~gone~~ &lt;i&gt;", sources=["So\n\n## heading"]
    )
    page = index([hostile], {})
    assert r"*First ## second \~\~gone\~~ \&lt;i\&gt;*" in page and "- So ## heading" in page
    assert "\n## second" not in page and "\n## heading" not in page
    assert "[Tiny.Name](#tinyname)" in page


@pytest.mark.parametrize(
    ("mean", "step", "verdict"),
    [  # 85.7 is published, and 1.5 points are allowed; half an interval is 12.7 steps
        (0.860, 0.0, "reproduced"),
        (0.860, 0.0005, "reproduced"),
        (0.860, 0.001, "undecided at n = 2"),
        (0.875, 0.001, "undecided at n = 2"),
        (0.875, 0.0001, "not"),
        (0.875, 0.0, "not"),
    ],
)
def test_a_number_is_reproduced_or_not_with_all_of_its_interval(
    mean: float, step: float, verdict: str
) -> None:
    whole = expansion(table_yaml(PUBLISHED))
    first = [one for one in whole.trials if one.cell.label == "EMA · symmetric"]
    here = {one.id: record(one.id, mean + step * (1 - 2 * one.seed)) for one in first}
    assert {row[5] for row in rows(index([told(whole, here)], {}))} == {verdict, "not run"}


@pytest.mark.parametrize("status", ["failed", "pruned", "diverged"])
def test_what_ran_and_gave_no_number_is_undecided_and_not_said_to_be_not_run(status: str) -> None:
    whole = claimed()
    gone = {one.id: record(one.id, None, status=status) for one in whole.trials}
    here = {**trained(whole), **{one.id: gone[one.id] for one in whole.trials if "0.2" in one.cell.label}}
    assert {row[5].partition(";")[0] for row in rows(index([told(whole, gone)], {}))} == {
        *("undecided at n = 0", f"no number: 6 {status}")
    }
    verdicts = [row[5].partition(";")[0] for row in rows(index([told(whole, here)], {}))]
    assert verdicts == ["undecided at n = 0", "undecided at n = 0", "reproduced", "undecided at n = 0"]
