"""A trial's id is pinned: a change of these literals orphans every result that users have stored."""

from __future__ import annotations

from orchestrator.planning.expand import expand
from orchestrator.planning.trials import trial_id
from tests.builders import TINY, expansion, sweep, yaml
from trainers.config.base import canonical, identity_dump
from trainers.datasets import image_folder
from trainers.loops import ssl

PINNED = {
    "EMA · symmetric · seed 0": "391352c53450",
    "EMA · regular · seed 0": "9c04829563ea",
    "No EMA · symmetric · seed 0": "54f3530d4433",
    "No EMA · regular · seed 0": "bb51918473a1",
}


def config(**changes: object) -> ssl.Config:
    base = {"method": "byol", "data": "shapes", "encoder": "mlp"}
    return ssl.Config.model_validate(base | changes)


def test_ids_are_pinned() -> None:
    assert {trial.label: trial.id for trial in expansion().trials[:4]} == PINNED


def test_the_id_of_the_defaults_is_pinned() -> None:
    assert trial_id(config()) == "9630cf86e64d"


def test_an_id_says_what_a_value_is_not_how_it_was_written() -> None:
    def identity(written: str) -> str:
        return expand(sweep(yaml(TINY).replace("epochs: 2\n  probe", f"{written}\n  probe"))).trials[0].id

    assert identity("epochs: 2\n  optimizer: {lr: 1}") == identity("epochs: 2\n  optimizer: {lr: 1.0}")
    assert identity("epochs: 2") == identity("{}: 0".replace("{}: 0", "epochs: 2  # a comment"))


def test_spelling_out_a_default_changes_no_id() -> None:
    assert trial_id(config()) == trial_id(config(epochs=100, optimizer={"name": "sgd", "lr": 0.03}))


def test_every_field_that_changes_numbers_changes_the_id() -> None:
    ids = {
        trial_id(config(**changes))
        for changes in (
            {},
            {"seed": 1},
            {"epochs": 99},
            {"method": {"name": "byol", "momentum": 0.5}},
            {"data": {"name": "shapes", "seed": 1}},
            {"precision": "bf16"},
            {"probe": {"lr": 0.1}},
            {"views": {"jitter": None}},
            {"optimizer": {"predictor": {"lr": 2.0}}},
        )
    }
    assert len(ids) == 9


def test_a_knob_that_is_off_leaves_no_trace_in_the_id() -> None:
    text = canonical(identity_dump(config()))
    assert "null" not in text
    assert 'predictor":{"lr' not in text


def test_where_data_lies_is_not_what_it_is() -> None:
    here, there = (
        image_folder.Config(label="x", root=root, size=8)  # type: ignore[arg-type]
        for root in ("here", "there")
    )
    assert trial_id(config(data=here)) == trial_id(config(data=there))
