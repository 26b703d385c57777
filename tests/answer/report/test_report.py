"""A report says what is there, all of what it shows is in it, and nothing in it acts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.answer import publish
from orchestrator.answer.figures._bands import CellCurves
from orchestrator.answer.figures._lines import COLOURS
from orchestrator.answer.report.chapter import DRAWN, LISTED, chapter
from orchestrator.answer.report.methods import configs_of, entries, parts_of
from orchestrator.answer.report.page import page
from orchestrator.answer.report.spectra import DECADES, HEIGHT, MOST_EPOCHS, MOST_RANKS, spectra_of
from orchestrator.answer.report.values import Chapter
from orchestrator.language.load import load_sweep
from orchestrator.planning.expand import Expansion, expand
from orchestrator.records import Curves, TrialRecord
from tests.answer.test_evaluation_columns import asked
from tests.builders import PUBLISHED, TINY, expansion, record, table_yaml, yaml
from trainers.config.families import members

SWEEPS = sorted((Path(__file__).parents[3] / "sweeps").glob("*.yaml"))


def curves(scale: float = 1.0) -> Curves:
    spectra = {"F": scale * np.array([[4.0, 2.0, 1.0], [8.0, 0.5, 0.0]]), "Wp": np.ones((2, 3))}
    metrics = {"train/loss": ((0, 1.0), (1, 0.5)), "F/rankme": ((0, 3.0), (1, 2.0))}
    return Curves(metrics=metrics, spectra_epochs=(0, 1), spectra=spectra)


def told(whole: Expansion, records: Mapping[str, TrialRecord] | None = None, **more: Any) -> Chapter:
    if records is None:
        records = {one.id: record(one.id, 0.5 + i / 10) for i, one in enumerate(whole.trials)}
    known = {one: curves() for one in records}
    how = {"anchor": "tiny", "command": "orch sweep tiny.yaml", "figures": {}}
    problems: list[str] = []
    made_of = publish.tables(whole, records, problems) if whole.spec.tables else []
    return chapter(whole, records, known, tables=made_of, problems=problems, **how | more)


def made(*chapters: Chapter) -> str:
    return page(chapters, version="0.1.0")


def test_it_has_question_table_verdict_and_footnotes() -> None:
    one = told(expansion(table_yaml(PUBLISHED)))
    (table,) = one.tables
    assert table.head[:2] == ["", "symmetric"]
    assert "cannot decide" in table.decision
    assert any("a paper, Table 1" in note for note in table.legend)
    html = made(one)
    for words in (table.title, table.decision.partition(",")[0], *table.legend):
        assert words.replace("'", "&#39;") in html


def test_every_shipped_sweep_can_be_told() -> None:
    for path in SWEEPS:
        spec = load_sweep(path)
        whole = expand(spec, profile=next(iter(spec.profiles), None))
        parts = {part.what for part in told(whole, {}).parts}
        assert parts >= {"trainer", "optimizer"} or parts == {"trainer"}, path


def test_it_says_what_is_missing_and_the_command_that_trains_it() -> None:
    whole = expansion()
    html = made(told(whole, {whole.trials[0].id: record(whole.trials[0].id)}))
    assert "7 trials have no result yet" in html and "<pre>orch sweep tiny.yaml</pre>" in html
    assert "no result yet.</strong>" not in made(told(whole))


def test_before_any_result_there_are_no_pictures_of_nothing() -> None:
    whole = expansion(table_yaml(PUBLISHED) + "figures: [{kind: dots}, {kind: eigenspace}]\n")
    one = told(whole, {}, figures=None)
    assert (one.figures, one.tables[0].details, one.problems) == ([], [], [])


def test_each_published_number_is_a_claim_beside_ours() -> None:
    one = told(expansion(table_yaml(PUBLISHED)))
    assert [claim.published.split()[0] for claim in one.claims] == ["85.7", "84.2", "20.3", "79.4"]
    collapsed = {t.id: record(t.id, 0.5, "collapsed") for t in expansion().trials}
    assert "†" in told(expansion(table_yaml(PUBLISHED)), collapsed).claims[0].ours
    gone = {t.id: record(t.id, None, "diverged") for t in expansion().trials}
    assert {c.verdict for c in told(expansion(table_yaml(PUBLISHED)), gone).claims} == {
        "no number: 2 diverged"
    }
    assert {claim.n for claim in one.claims} == {"2"}
    assert one.claims[0].verdict == "✗ outside"
    none = told(expansion(table_yaml(PUBLISHED)), {})
    assert {claim.verdict for claim in none.claims} == {"no result yet"}
    both = made(one, told(expansion(table_yaml(PUBLISHED)), anchor="second"))
    assert both.count("85.7") >= 2 and "Published and ours" in both


def test_a_failed_trial_has_cause_next_step_and_the_end_of_its_log() -> None:
    whole = expansion()
    first = whole.trials[0].id
    records = {first: record(first, None, "failed", error="code", reason="ValueError: <no>")}
    one = told(whole, records, logs={first: "line before <it>"})
    html = made(one)
    assert "ValueError: &lt;no&gt;" in html and "line before &lt;it&gt;" in html and "orch retry" in html


def test_labels_from_a_sweep_cannot_act_in_the_page() -> None:
    evil = "</script><script>alert(1)</script>"
    text = table_yaml().replace("No EMA", evil)
    asks = yaml(TINY).replace("name: tiny", f'name: tiny\nquestion: "{evil}"', 1)
    for whole in (expansion(text), expansion(asks)):
        html = made(told(whole, source=evil, logs={whole.trials[0].id: evil}))
        assert "<script>alert" not in html and "&lt;script&gt;alert(1)" in html


def test_all_that_it_shows_is_in_it_and_every_link_leads_somewhere() -> None:
    html = made(told(expansion(table_yaml(PUBLISHED))), told(expansion(), anchor="second"))
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(one.startswith(("#", "data:")) for one in addresses)
    anchors = set(re.findall(r'id="([^"]*)"', html))
    assert {one[1:] for one in addresses if one.startswith("#")} <= anchors
    assert "default-src 'none'" in html and "url(" not in html and "@import" not in html


def test_the_same_answer_is_the_same_page() -> None:
    assert made(told(expansion())) == made(told(expansion()))


def test_the_first_cell_has_all_settings_and_others_what_is_different() -> None:
    one = told(expansion())
    assert json.loads(one.config)["method"]["name"] == "byol"
    assert one.cells[0].differs == []
    assert one.cells[-1].differs == ["method.momentum: 0.9 → 0.0", "method.predictor.symmetric: true → false"]
    assert ("epochs", "2") in one.settings and "method.momentum" not in dict(one.settings)


def test_what_ran_is_named_with_the_work_to_cite() -> None:
    parts = {(part.what, part.name): part for part in parts_of(configs_of(expansion()))}
    assert set(parts) >= {("trainer", "ssl"), ("method", "byol"), ("encoder", "mlp"), ("data set", "shapes")}
    assert "arXiv:2006.07733" in str(parts["method", "byol"].reference)
    assert "arXiv:2006.07733" in made(told(expansion())) and "arXiv:2011.10566" not in made(told(expansion()))


def test_what_ran_is_told_in_one_sentence_each_without_words_for_programmers() -> None:
    words = {part.name: part.words for part in parts_of(configs_of(expansion()))}
    assert words["shapes"] == "Ten classes of drawn shapes in colour: the data set that needs no files."
    assert words["ssl"] == "Self-supervised training of two views: config to report, top to bottom."


@pytest.mark.parametrize("name", [one for one in members("trainers.methods") if one != "supervised"])
def test_every_method_has_a_work_to_cite(name: str) -> None:
    method = {"name": name} | ({"predictor": {"hidden": 16}} if name == "byol" else {})
    text = yaml(TINY).replace("{name: byol, predictor: {hidden: 16}}", json.dumps(method), 1)
    whole = expansion(text.replace("batch_size: 64", "batch_size: 128"))
    assert any(part.reference for part in parts_of(configs_of(whole)) if part.what == "method")


def test_every_reference_is_one_entry_of_bibtex() -> None:
    for key, text in entries().items():
        assert text.startswith("@") and text.count("@") == 1 and f"{{{key}," in text
        assert text.count("{") == text.count("}") and "title" in text and "year" in text


def test_spectra_are_medians_over_seeds_the_largest_first() -> None:
    cell = CellCurves("one", (0, 1, 2), (curves(), curves(1.0), curves(4.0)), "")
    spectra = spectra_of([cell])
    assert spectra is not None
    assert (spectra.epochs, spectra.names, spectra.high - spectra.low) == ((0, 1), ("F", "Wp"), DECADES)
    heights = json.loads(spectra.data)[0][0]
    want = [HEIGHT * (spectra.high - np.log10(value)) / DECADES for value in (4.0, 2.0, 1.0)]
    np.testing.assert_allclose(heights[0], want, atol=0.05)
    assert heights[1][-1] == HEIGHT  # nothing, at the bottom
    assert heights[0] == sorted(heights[0])
    assert (spectra.ticks[0], spectra.ticks[1], spectra.ticks[-1]) == (
        (0, "10¹"),
        (HEIGHT / DECADES, ""),
        (HEIGHT, "≤ 10⁻⁵"),
    )
    assert spectra.panels[0].ranks == 3


def test_a_panel_and_its_cell_have_the_colour_of_the_figures() -> None:
    one = told(expansion())
    assert one.spectra is not None
    colours = [cell.colour for cell in one.cells]
    assert colours == [panel.colour for panel in one.spectra.panels] and len(set(colours)) == 4
    assert colours[:2] == list(COLOURS[:2])


def test_many_epochs_and_ranks_are_thinned_and_it_says_so() -> None:
    epochs = 10 * MOST_EPOCHS
    many = Curves(spectra_epochs=tuple(range(epochs)), spectra={"F": np.ones((epochs, 10 * MOST_RANKS))})
    spectra = spectra_of([CellCurves("one", (0,), (many,), "")])
    assert spectra is not None
    assert (len(spectra.epochs), spectra.epochs[0], spectra.epochs[-1]) == (MOST_EPOCHS, 0, epochs - 1)
    assert spectra.thinned == "Shown: 60 of 600 epochs and 64 of 640 ranks, evenly chosen."


def test_a_panel_says_of_which_epoch_its_spectra_are_where_its_cell_recorded_none_at_the_chosen_one() -> None:
    def recorded(*epochs: int) -> Curves:
        return Curves(spectra_epochs=epochs, spectra={"F": np.array([[1.0, 0.1 * (1 + e)] for e in epochs])})

    own = {"whole": (0, 1, 2, 3), "diverged": (0, 1), "late": (2, 3), "seldom": (0, 2)}
    spectra = spectra_of([CellCurves(name, (0,), (recorded(*e),), "") for name, e in own.items()])
    assert spectra is not None
    assert {one.label: one.shown for one in spectra.panels} == {
        "whole": (0, 1, 2, 3), "diverged": (0, 1, 1, 1), "late": (None, None, 2, 3), "seldom": (0, 0, 2, 2),
    }  # fmt: skip
    data = json.loads(spectra.data)
    assert data[1][0][1:] == [data[0][0][1]] * 3 and data[2][0] == [None, None, *data[0][0][2:]]
    html = made(told(expansion())._replace(spectra=spectra))
    assert re.findall(r"(\w+)<span class=\"as-of\" data-epochs=\"([^\"]*)\">([^<]*)</span>", html) == [
        ("diverged", "0 1 1 1", " (as of epoch 1)"),
        ("late", "None None 2 3", ""),
        ("seldom", "0 0 2 2", " (as of epoch 2)"),
    ]


def test_without_spectra_there_is_no_slider() -> None:
    assert spectra_of([CellCurves("one", (), (), "")]) is None
    assert '<div class="slider"' not in made(told(expansion(), {}))


def test_ten_thousand_trials_are_a_page_that_a_browser_opens() -> None:
    rates = ", ".join(f"0.{1 + number:04}" for number in range(1000))
    whole = expansion(yaml(TINY) + f"axes:\n  lr: {{path: optimizer.lr, values: [{rates}]}}\nseeds: 10\n")
    assert len(whole.trials) == 10_000 > LISTED
    records = {one.id: record(one.id) for one in whole.trials}
    bad = whole.trials[5]
    records[bad.id] = record(bad.id, None, "diverged", reason="loss is nan")
    ids = [whole.cells[place].trial_id(seed) for place in range(DRAWN) for seed in whole.seeds]
    how: Any = {"tables": [], "problems": [], "anchor": "a", "command": "c", "figures": {}}
    one = chapter(whole, records, {i: curves() for i in ids}, **how)
    html = made(one)
    assert len(html.encode()) < 20e6
    assert [trial.id for cell in one.cells for trial in cell.trials] == [bad.id]
    assert one.not_listed == 9_999 and f"{1000 - DRAWN} further cells are not drawn" in html


def test_a_decision_has_its_numbers_below_it_with_rates_and_what_axes_do() -> None:
    one = told(expansion(table_yaml(PUBLISHED)))
    cells, axes = one.tables[0].details
    assert cells.title == "probe/top1 in %: each cell against EMA · regular"
    assert cells.head[-2:] == ["collapsed", "diverged"] and cells.body[0][-2].startswith("0/2 [0, ")
    assert axes.body[0][0] == "ema: No EMA - EMA"
    html = made(one)
    assert html.count("<summary>probe/top1 in %") == 2 and "p Holm" in html and "d_z" in html


def test_a_table_without_a_baseline_has_none_of_these_and_a_large_grid_no_effects() -> None:
    assert told(expansion(yaml(TINY, THEORY))).tables[0].details == []
    values = "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]"
    axes = f"axes:\n  lr: {{path: optimizer.lr, values: {values}}}\n"
    axes += f"  m: {{path: method.momentum, values: {values}}}\n"
    table = "tables: [{name: a, rows: lr, columns: m, baseline: {lr: 0.1, m: 0.1}}]\n"
    (only,) = told(expansion(yaml(TINY) + axes + "seeds: 1\n" + table)).tables[0].details
    assert only.title.endswith("each cell against 0.1 · 0.1") and len(only.body) == 64


THEORY = """
    axes:
      lr: {path: optimizer.lr, values: [0.1, 0.2]}
    seeds: 6
    tables:
      - name: main
        rows: lr
        expected: rising
        expectations:
          - {cell: {lr: 0.2}, at_least: 10}
          - {cell: {lr: 0.1}, collapses: true}
"""


def test_what_a_theory_says_and_what_was_expected_are_claims_too() -> None:
    whole = expansion(yaml(TINY, THEORY))
    records = {
        one.id: record(one.id, 0.5 + one.seed / 100 + 0.1 * ("0.2" in one.label)) for one in whole.trials
    }
    one = told(whole, records)
    theory, above, collapse = one.claims
    assert (theory.what, theory.published) == ("rising along lr (probe/top1 in %)", "theory")
    assert (theory.ours, theory.n, theory.verdict) == ("so is ours", "6", "✓ holds")
    assert above.what == "'0.2' at least 10 % (probe/top1 in %)" and above.verdict == "✓ holds"
    assert above.published == "all its 6 trials began without it" and "n = 6" in above.ours
    assert collapse.verdict == "✗ does not hold" and collapse.ours == "0 of 6 collapsed"
    both = made(one, told(expansion(table_yaml(PUBLISHED)), anchor="second"))
    assert "<p>7 claims: " in both and "2 holds" in both


def test_what_ran_is_told_in_sentences_that_cite() -> None:
    whole = expansion(table_yaml(PUBLISHED))
    records = {one.id: record(one.id, code_version="v1", on_gpu=i == 0) for i, one in enumerate(whole.trials)}
    text = " ".join(told(whole, records).methods)
    assert text.startswith(
        "The design is 4 cells × 2 seeds = 8 trials, grid over ema (EMA, No EMA); predictor ("
    )
    assert "method byol [byol]" in text and "epochs 2, batch_size 64" in text
    assert "8 trials of the code v1, 1 of them on a GPU." in text and "adjusted by Holm" in text
    assert "differences are paired by seed" in text
    for key in re.findall(r"\[(\w+)\]", text):
        assert key in entries()


def test_no_sentence_on_what_ran_says_more_than_is_known() -> None:
    whole = expansion(table_yaml(PUBLISHED))
    first, *others = whole.trials
    mixed = {one.id: record(one.id, streams_fingerprint="usual") for one in others}
    mixed[first.id] = record(first.id, code_version="v1", streams_fingerprint="other")
    text = " ".join(told(whole, mixed).methods)
    assert "paired by seed" not in text  # as the note under the table says
    assert "1 trial of the code v1." in text
    assert "tested by two-sided" in " ".join(told(expansion(seeds=range(25)), {}).methods)


def test_a_baseline_whose_label_has_a_comma_is_compared_with() -> None:
    text = table_yaml(PUBLISHED).replace("EMA: {method.momentum: 0.9}", "'EMA, long': {method.momentum: 0.9}")
    (table,) = told(expansion(text.replace("{ema: EMA,", "{ema: 'EMA, long',"))).tables
    assert (
        table.details[0].title == "probe/top1 in %: each cell against EMA, long · regular" and table.decision
    )


def test_what_is_cited_is_what_ran() -> None:
    plain = expansion(yaml(TINY, THEORY))
    assert "Holm, Sture" not in made(told(plain)) and "Clopper" not in " ".join(told(plain).methods)
    assert "Holm, Sture" in made(told(expansion(table_yaml(PUBLISHED))))
    best = told(expansion(table_yaml("best: highest\n")))
    assert "no other is shown to beat" in " ".join(best.methods) and "Holm, Sture" in made(best)


def test_trials_have_their_numbers_in_the_unit_of_the_table() -> None:
    whole = expansion(table_yaml(PUBLISHED))
    one = told(whole, {whole.trials[0].id: record(whole.trials[0].id, 0.8525)})
    assert one.metrics == ["probe/top1 in %"] and one.cells[0].trials[0].numbers == ["85.25"]


def test_a_metric_and_a_figure_are_told_in_words() -> None:
    whole = expansion(table_yaml(PUBLISHED) + "figures: [{kind: dots}]\n")
    one = told(whole, figures={"dots.png": b"none"})
    assert one.tables[0].legend[0] == "probe/top1: top-1 accuracy of a linear probe"
    (figure,) = one.figures
    assert figure.name == "dots" and figure.caption.startswith("Final metrics, a row per cell")


def test_what_encoders_are_evaluated_by_is_part_of_the_methods() -> None:
    text = " ".join(told(asked("columns: evaluations"), {}).methods)
    assert "Trained encoders are evaluated by near (knn)." in text


def test_a_trial_says_where_its_numbers_are_from() -> None:
    whole = expansion()
    first = whole.trials[0].id
    facts: dict[str, Any] = {
        "data_fingerprint": "abc",
        "spent_s": 75.0,
        "attempts": 2,
        "worker": "n1:7",
        "run": "r",
    }
    one = told(whole, {first: record(first, code_version="v1", **facts)})
    assert one.cells[0].trials[0].origin == "data abc, 1m 15s, 2 attempts, n1:7, run r"
    assert "data abc, 1m 15s" in made(one)
