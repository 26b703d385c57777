"""A trial starts from another's trained encoder: which one, by the sweep files alone, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Sweep
from orchestrator.errors import SpecError
from orchestrator.planning.difference import compare
from orchestrator.planning.expand import Expansion, expand
from orchestrator.planning.plan import kept, make_plan, stages, start_notes, unfit
from orchestrator.planning.trials import TrialSpec, id_of
from orchestrator.recording.bundle.selecting import tree_of
from orchestrator.rehearsal.forecast import alone, cost_classes, needs_of
from tests.builders import TINY, expansion, record, sweep, yaml

NETWORK = "encoder: {name: mlp, widths: [16]}"
CHAIN = """
    axes:
      way:
        scratch: {}
        tuned: {method.momentum: 0.5, encoder.from: {cell: scratch}}
        again: {encoder.from: {cell: way=tuned, seed: 0}}
    seeds: 2
"""
SINGLE = "    seeds: 2\n"
AFTER = SINGLE + TINY.replace("name: tiny", "name: after").replace(
    NETWORK, "encoder: {from: {sweep: tiny.yaml, cell: base}}"
)


def after(text: str = AFTER, *, parent: str = TINY + SINGLE, **options: Any) -> Expansion:
    """A sweep that starts from the encoders of tiny.yaml."""
    return expand(sweep(yaml(text), {"tiny.yaml": yaml(parent)}), **options)


def by_label(made: Expansion) -> Mapping[str, TrialSpec]:
    return {trial.label: trial for trial in made.trials}


def problems(text: str, **how: Any) -> list[str]:
    with pytest.raises(SpecError) as raised:
        after(text, **how)
    return str(raised.value).splitlines()


def test_a_child_holds_its_parents_id_and_its_own_is_the_hash_of_what_it_says() -> None:
    trials = by_label(expansion(yaml(TINY, CHAIN)))
    child, parent = trials["tuned · seed 1"], trials["scratch · seed 1"]
    config: Any = child.config
    assert child.parent == parent and config.encoder.from_trial == parent.id
    assert config.encoder.widths == (16,)
    assert all(id_of(trial.facts.identity) == trial.id for trial in trials.values())
    again: Any = trials["again · seed 1"].config
    assert again.encoder.from_trial == trials["tuned · seed 0"].id


def test_chains_move_no_id_of_a_trial_that_starts_from_none() -> None:
    alone = {trial.id for trial in expansion(yaml(TINY, SINGLE)).trials}
    assert alone == {t.id for t in expansion(yaml(TINY, CHAIN)).trials if t.cell.label == "scratch"}


def test_another_parent_is_another_trial_and_its_settings_count() -> None:
    other = AFTER.replace("cell: base", "cell: base, seed: 0")
    longer = (TINY + SINGLE).replace("epochs: 2\n      probe", "epochs: 3\n      probe")
    ids = [[trial.id for trial in made.trials] for made in (after(), after(other), after(parent=longer))]
    assert len({*ids[0], *ids[1], *ids[2]}) == 5  # seed 0 of the second starts where that of the first does
    assert ids[0][0] == ids[1][0]


def test_a_cell_has_one_id_for_all_seeds_whichever_are_asked_for() -> None:
    made = after()
    assert {trial.facts.cell_id for trial in made.trials} == {made.cells[0].id}
    assert after(seeds=[7]).cells[0].id == made.cells[0].id != made.trials[0].parent.cell.id  # type: ignore[union-attr]


def test_the_parents_network_is_taken_where_the_child_names_none_and_must_be_the_same_where_it_does() -> None:
    named = AFTER.replace("{from:", "{name: mlp, widths: [16], from:")
    assert [trial.id for trial in after(named).trials] == [trial.id for trial in after().trials]
    (line,) = problems(named.replace("[16], from", "[32], from"))
    assert "sweep.yaml:9: encoder.from.cell: cell 'base' of tiny.yaml has another network: " in line
    assert "widths is [16] there and [32] here" in line


def test_another_network_keeps_where_it_starts_so_that_nothing_is_lost_in_silence() -> None:
    axis = "    axes:\n      size: {small: {}, large: {encoder.name: convnet}}\n"
    (line,) = problems(AFTER.replace("{from:", "{name: mlp, widths: [16], from:") + axis)
    assert "has another network: channels is " in line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{sweep: tiny.yaml, cell: bse}", "encoder.from.cell: no cell 'bse'; did you mean 'base'?"),
        ("{sweep: tiny.yaml}", "encoder.from.cell: is missing"),
        (
            "{sweep: tiny.yaml, cell: base, seed: any}",
            "encoder.from.seed: expected same, or a number from 0; got 'any'",
        ),
        ("{sweep: tiny.yaml, cell: base, sed: 1}", "encoder.from.sed: no such field; did you mean 'seed'?"),
        (
            "base",
            "encoder.from: expected {cell: ..., seed: same}, of another sweep with `sweep: FILE`; got 'base'",
        ),
        ("{cell: base}", "encoder.from.cell: a circle: 'base' from 'base'"),
        ("{cell: base, profile: paper}", "encoder.from.profile: is of another sweep"),
        (
            "{sweep: tiny.yaml, cell: base, profile: paper}",
            "encoder.from.profile: tiny.yaml: no profile 'paper'",
        ),
    ],
)
def test_what_is_wrong_with_a_parent_is_one_line(text: str, says: str) -> None:
    lines = problems(AFTER.replace("{sweep: tiny.yaml, cell: base}", text))
    assert len(lines) == 1 and says in lines[0] and lines[0].startswith("sweep.yaml:9: "), lines


def test_an_id_is_not_written_by_hand_and_cells_that_start_from_each_other_are_a_circle() -> None:
    (line,) = problems(TINY.replace(NETWORK, "encoder: {name: mlp, from_trial: 0123456789ab}"))
    assert "encoder.from_trial: is what a sweep makes of `from`" in line
    each = "    axes:\n      way: {a: {encoder.from: {cell: b}}, b: {encoder.from: {cell: a}}}\n"
    assert "a circle: 'a' from 'b' from 'a'" in problems(TINY + each)[0]


def test_a_file_that_is_not_there_or_starts_from_this_one_is_told_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "after.yaml").write_text(yaml(AFTER))
    with pytest.raises(SpecError, match=r"after.yaml:9: encoder.from.sweep: no such file: .*tiny.yaml"):
        Sweep.load(tmp_path / "after.yaml")
    back = (TINY + SINGLE).replace(NETWORK, "encoder: {from: {sweep: after.yaml, cell: base}}")
    (tmp_path / "tiny.yaml").write_text(yaml(back))
    with pytest.raises(SpecError, match="starts from itself"):
        Sweep.load(tmp_path / "after.yaml")


def test_a_trainer_without_an_encoder_is_no_parent() -> None:
    other = "version: 1\nname: modes\nbase: {trainer: modes}\n"
    assert "of trainer modes, leave no encoder" in problems(AFTER, parent=other)[0]


def test_the_other_sweep_has_the_profile_of_the_same_name_or_one_that_is_said() -> None:
    profiles = "    profiles: {laptop: {epochs: 1}, paper: {epochs: 9}}\n"
    made = after(AFTER + profiles, parent=TINY + SINGLE + profiles, profile="paper")
    config: Any = made.trials[0].parent.config  # type: ignore[union-attr]
    assert config.epochs == 9
    said = AFTER.replace("cell: base", "cell: base, profile: laptop")
    config = after(said, parent=TINY + SINGLE + profiles).trials[0].parent.config  # type: ignore[union-attr]
    assert config.epochs == 1
    assert "tiny.yaml has profiles; say which by `profile`" in problems(AFTER, parent=TINY + profiles)[0]


def test_every_way_of_writing_an_axis_names_its_sweeps() -> None:
    network = AFTER.replace("encoder: {from: {sweep: tiny.yaml, cell: base}}", NETWORK)
    parents = "{sweep: tiny.yaml, cell: base}"
    ways = [
        f"    axes:\n      a: {{x: {{encoder: {{from: {parents}}}}}}}\n",
        f"    axes:\n      a: {{path: encoder.from, values: [{parents}], labels: [x]}}\n",
        f"    axes:\n      a: {{zip: {{encoder.from: [{parents}]}}, labels: [x]}}\n",
        "    axes:\n      a: {x: {encoder.from.sweep: tiny.yaml, encoder.from.cell: base}}\n",
    ]
    assert len({after(network + axis).trials[0].id for axis in ways}) == 1


def test_a_saved_sweep_has_its_parents_in_itself_and_asks_for_the_same_trials(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "after.yaml").write_text(yaml(AFTER))
    (tmp_path / "there" / "tiny.yaml").write_text(yaml(TINY, SINGLE))
    first = Sweep.load(tmp_path / "there" / "after.yaml")
    first.save(tmp_path / "whole.yaml")
    assert [t.id for t in Sweep.load(tmp_path / "whole.yaml").trials] == [t.id for t in first.trials]
    assert [t.id for t in Sweep(tree_of(first.spec, tmp_path)).trials] == [t.id for t in first.trials]


def test_a_sweep_that_is_built_in_python_looks_from_the_working_folder() -> None:
    Path("tiny.yaml").write_text(yaml(TINY, SINGLE))
    spec = after().spec.model_dump(exclude_defaults=True)
    assert [trial.id for trial in Sweep(spec).trials] == [trial.id for trial in after().trials]


def test_parents_come_before_children_whatever_the_order_of_the_levels() -> None:
    levels = "b: {encoder.from: {cell: a}}, c: {encoder.from: {cell: b}}, a: {}"
    made = expansion(yaml(TINY, f"    axes:\n      way: {{{levels}}}\n    seeds: 2\n"))
    turns = [sorted({trial.cell.label for trial in turn}) for turn in stages(made.trials)]
    assert turns == [["a"], ["b"], ["c"]]
    later = [trial for trial in made.trials if trial.cell.label != "a"]
    assert [{trial.cell.label for trial in turn} for turn in stages(later)] == [{"b"}, {"c"}]


def test_a_sweep_whose_trials_start_from_each_other_keeps_encoders() -> None:
    assert kept(expansion(yaml(TINY, CHAIN)), ()) == ("encoder",)
    assert kept(after(), ()) == ()


DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("how", "says", "cure"),
    [
        ({}, None, None),
        (
            {"status": "collapsed", "reason": "constant"},
            "which collapsed (constant); a result, and stays",
            None,
        ),
        ({"status": "diverged"}, "which diverged; a result", None),
        (
            {"status": "failed", "reason": "out of luck"},
            "which failed (out of luck); `orch sweep tiny.yaml",
            "train",
        ),
        (
            {"encoder": None},
            "keeping its encoder; `orch sweep tiny.yaml --keep encoder --retrain-unkept`",
            "keep",
        ),
    ],
)
def test_a_parent_that_cannot_be_started_from_is_told_with_what_to_do(
    how: dict[str, Any], says: str | None, cure: str | None
) -> None:
    made = after()
    parents = {t.parent.id: record(t.parent.id, **{"encoder": DIGEST} | how) for t in made.trials if t.parent}
    found = unfit(made.trials, parents, {})
    assert {one.cure for one in found.values()} <= {cure}
    lines = start_notes(made, found.values())
    if says is None:
        assert lines == []
    else:
        (line,) = lines
        assert line.startswith("2 trials would start from the encoder of base, seeds 0, 1 of tiny.yaml, ")
        assert says in line


def test_a_parent_that_was_never_trained_is_told_with_the_command_that_trains_it() -> None:
    (line,) = start_notes(after(), unfit(after().trials, {}, {}).values())
    assert line.endswith("which was not trained; `orch sweep tiny.yaml --keep encoder` trains it")
    seven = after(AFTER.replace("cell: base", "cell: base, seed: 7"))
    (line,) = start_notes(seven, unfit(seven.trials, {}, {}).values())
    assert line.endswith("`orch sweep tiny.yaml --keep encoder --seeds 7,` trains it")
    own = expansion(yaml(TINY, CHAIN), seeds=[1])  # without seed 0, from which one cell starts
    again = [trial for trial in own.trials if trial.cell.label == "again"]
    (line,) = start_notes(own, unfit(again, {}, {}).values())
    assert line.endswith("`orch sweep SPEC --seeds 0,` trains it")


def test_a_parent_that_has_lost_its_encoder_is_told() -> None:
    made = after(seeds=[0])
    (parent,) = (t.parent.id for t in made.trials if t.parent)
    found = unfit(made.trials, {parent: record(parent, encoder=DIGEST)}, {parent: "is not in a store"})
    assert "which has lost its encoder: it is not in a store; " in start_notes(made, found.values())[0]


def test_a_rehearsal_needs_no_other_trial_and_seeds_cost_the_same() -> None:
    made = after()
    config: Any = alone(made.trials[0].config)
    assert config.encoder.from_trial is None and config.encoder.widths == (16,)
    needs = needs_of(made.trials, made.spec.resources, gpus=0)
    assert [len(one.trials) for one in cost_classes(made.trials, needs)] == [2]


def test_a_difference_names_the_other_trial() -> None:
    changed = compare(after(), after(AFTER.replace("cell: base", "cell: base, seed: 1"))).changed_cells
    assert list(changed) == ["base"] and changed["base"][0].startswith("encoder.from_trial: ")


def test_a_finished_chain_is_done() -> None:
    made = expansion(yaml(TINY, CHAIN))
    assert make_plan(made, {trial.id: record(trial.id) for trial in made.trials}).todo == ()
