"""Commands that a message suggests repeat the file, the selection and the place that were typed."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.main

from orchestrator.commands.app import app
from orchestrator.commands.request import Request
from orchestrator.commands.screen.tables import print_failures
from orchestrator.commands.selection.typed import settings_in
from orchestrator.commands.train.trial import given_encoder
from orchestrator.errors import StoreError, UsageError
from orchestrator.execution.screen import suggested
from orchestrator.execution.screen.suggested import typed
from orchestrator.recording.bundle.selecting import sweep_words
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.stores.sqlite import DATABASE
from orchestrator.recording.workspace import Workspace
from tests.builders import INFO, TINY, expansion, outcome, table_yaml, yaml
from tests.place import Place
from tests.planning.test_chains import AFTER, CHAIN, SINGLE
from tests.recording.test_bundle import exported, filled

EVERYTHING = {
    "profile": "paper", "seeds": "0,3", "precision": 0.5, "max_seeds": 9, "set": ["epochs=1", "data.size=8"],
    "trust": True, "home": Path("my runs"), "tracking_uri": "http://me:secret@host:5000", "data": Path("d"),
    "checkpoints": "s3://bucket/c",
}  # fmt: skip
ASKED = "--profile paper --seeds 0,3 --precision 0.5 --max-seeds 9 --set epochs=1 --set data.size=8 --trust"
PLACE = "--home 'my runs' --tracking-uri http://host:5000"
NAMES = {*suggested._OF_A_FILE, *suggested._OF_A_CELL, "compare", "export", "report", "stop"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_suggested_command_is_one_that_orch_takes(name: str) -> None:
    group = typer.main.get_command(app)
    more = ["CELL"] if name in suggested._OF_A_CELL else []
    said = typed(Path("my sweep.yaml"), EVERYTHING).command(name, *more, seeds=[0, 3, 4])
    orch, command, *words = shlex.split(said)
    context = group.commands[command].make_context(command, words)  # type: ignore[attr-defined]
    assert orch == "orch" and not context.args
    assert "secret" not in said and f"{PLACE}" in said and "--set epochs=1 --set data.size=8" in said


def test_a_command_about_a_cell_names_the_seeds_that_precision_added() -> None:
    said = typed(Path("s.yaml"), {"precision": 1.0, "max_seeds": 5}).command("why", "ID", seeds=[0, 1, 7])
    assert said == "orch why s.yaml ID --seeds 0,1,7,"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "`orch sweep` trains it",
            f"`orch sweep s.yaml {ASKED} {PLACE} --data d --checkpoints s3://bucket/c`",
        ),
        (
            "`orch sweep SPEC --seeds 7, --set a=1`",
            "`orch sweep s.yaml --seeds 7, --set a=1 --profile paper ",
        ),
        ("`orch sweep --retrain-changed` trains", "`orch sweep s.yaml --retrain-changed --profile paper "),
        ("`orch logs SPEC 'EMA · few'`", "`orch logs s.yaml 'EMA · few' --profile paper --seeds 0,1, "),
        (
            "`orch sweep other.yaml --keep encoder`",
            f"`orch sweep other.yaml --keep encoder {PLACE} --data d ",
        ),
        ("`orch import b.orch.zip`", f"`orch import b.orch.zip {PLACE} --checkpoints s3://bucket/c`"),
        ("`orch sync` delivers it", f"`orch sync {PLACE}` delivers it"),
        ("`orch sync --home there`", "`orch sync --home there --tracking-uri http://host:5000`"),
        ("`orch --help`", "`orch --help`"),
        ("`orch compare --help`", "`orch compare --help`"),
        ("`orch why 'it`", "`orch why 'it`"),
        ("no command", "no command"),
    ],
)
def test_messages_name_commands_as_they_are_typed(line: str, said: str) -> None:
    assert typed(Path("s.yaml"), EVERYTHING).filled(line, seeds=[0, 1]).startswith(said)


def test_a_message_after_a_plain_command_names_the_file_alone() -> None:
    nothing = dict.fromkeys(EVERYTHING) | {"trust": False}
    assert typed(Path("s.yaml"), nothing).filled("`orch sweep` goes on") == "`orch sweep s.yaml` goes on"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("`orch sweep` goes on", "`sweep.run()` goes on"),
        (
            "`orch sweep SPEC --keep encoder --retrain-unkept` trains it",
            "`sweep.run(keep=['encoder'], retrain_unkept=True)` trains it",
        ),
        ("`orch sweep SPEC --seeds 3,7,` trains it", "`Sweep(..., seeds=[3, 7]).run()` trains it"),
        ("`orch sweep tiny.yaml --keep encoder`", "`orch sweep tiny.yaml --keep encoder --home there`"),
        ("`orch sync` delivers it", "`orch sync --home there` delivers it"),
        ("`orch figures` writes them", "`orch figures` writes them"),
    ],
)
def test_of_a_sweep_that_was_built_in_python_messages_name_what_is_called(line: str, said: str) -> None:
    assert typed("", {"home": "there"}).filled(line) == said


def test_a_sweep_that_python_has_loaded_is_gone_on_with_by_a_command_that_asks_for_the_same() -> None:
    how = EVERYTHING | {"seeds": [3], "changes": {"epochs": 1, "data.name": "shapes"}}
    del how["set"]
    said = suggested.loaded("my sweep.yaml", how | {"prefer_profile_with_results": True}).command("sweep")
    _, command, *words = shlex.split(said)
    group = typer.main.get_command(app)
    context = group.commands[command].make_context(command, words)  # type: ignore[attr-defined]
    given = {name: value for name, value in context.params.items() if name in EVERYTHING}
    assert given["seeds"] == "3," and given["home"] == Path("my runs") and given["precision"] == 0.5
    assert settings_in(context.params["changes"]) == how["changes"] and given["trust"]


@pytest.mark.parametrize(
    "value",
    [
        *(math.inf, -math.inf, {"a": [math.inf, 1e-05]}, "Infinity", "-Infinity", "NaN", 'a "NaN"', "ä"),
        *("🎲", "a🎲🎲", {"🎲": "\\🎲"}, r"\ud83c\udfb2", "a\x7f\x85\u2028\ufeff\uffffb"),
    ],
)
def test_a_setting_that_is_suggested_is_read_as_what_it_was(value: object) -> None:
    said = suggested.loaded("s.yaml", {"changes": {"a": value}}).flags["--set"]
    assert settings_in(list(said)) == {"a": value}
    words = sweep_words("s.yaml", profile=None, seeds=None, changes={"a": value})
    assert settings_in(words[-1:]) == {"a": value}


def test_a_setting_that_is_no_number_is_suggested_as_one() -> None:
    (said,) = suggested.loaded("s.yaml", {"changes": {"a": float("nan")}}).flags["--set"]
    assert said == "a=.nan" and math.isnan(settings_in([said])["a"])


@pytest.fixture
def failed(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place whose store has a trial that failed."""
    store, trial = MemoryStore(), expansion().trials[0]
    monkeypatch.setattr(Workspace, "open_store", lambda self, **how: store)
    store.begin(trial.facts, INFO)
    store.finish(trial.id, outcome(status="failed", reason="out of luck", error="code", metrics={}), INFO)
    place.write(table_yaml())
    return place


def test_why_names_the_next_commands_with_what_was_typed(failed: Place) -> None:
    words = ("--home", "my runs", "--set", "data.size=8")
    said = failed.orch("why", "sweep.yaml", "EMA · symmetric", *words).stdout
    assert "`orch logs sweep.yaml 'EMA · symmetric' --set data.size=8 --home 'my runs'` shows" in said
    assert "`orch retry sweep.yaml 'EMA · symmetric' --set data.size=8 --home 'my runs'`" in said
    assert "`orch sweep sweep.yaml --set data.size=8 --home 'my runs'`" in said


def test_errors_name_commands_with_what_was_typed(failed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UsageError("it is not there; `orch sweep SPEC --keep encoder` makes it")

    monkeypatch.setattr("orchestrator.execution.drive.prepare", refuse)
    said = failed.orch("sweep", "sweep.yaml", "--home", "there", code=2).stderr
    assert "; `orch sweep sweep.yaml --keep encoder --home there` makes it" in said


@pytest.mark.parametrize(
    ("words", "sweep"),
    [
        (["table", "sweep.yaml"], "sweep.yaml"),
        (["table", "sweep.yaml", "--precision", "1"], "sweep.yaml --precision 1"),  # which asks at once
        (["status", "sweep.yaml", "sweep.yaml"], "sweep.yaml"),
        (["status", "sweep.yaml", "--precision", "1"], "sweep.yaml --precision 1"),
        (["plan", "sweep.yaml"], "sweep.yaml"),
        (["failures", "sweep.yaml"], "sweep.yaml"),
        (["export", "sweep.yaml", "sweep.yaml"], "sweep.yaml"),
        (["report", "sweep.yaml", "sweep.yaml"], "SPEC"),  # all are read, and then the store is asked
        (["ui"], "SPEC"),
        (["doctor"], "SPEC"),
    ],
)
def test_an_error_of_any_command_names_commands_with_the_place_that_was_typed(
    words: list[str], sweep: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> MemoryStore:
        raise StoreError("it is damaged; `orch sync` mends it; `orch sweep SPEC` goes on")

    monkeypatch.setattr(Workspace, "open_store", refuse)
    monkeypatch.setattr("orchestrator.commands.look.ui.serve", refuse)
    (place.folder / "h2").mkdir()
    (place.folder / "h2" / DATABASE).touch()
    done = place.orch(*words, "--home", "h2", code=2)
    told = f"`orch sync --home h2` mends it; `orch sweep {sweep} --home h2` goes on"
    assert told in done.stdout + done.stderr


def test_failures_end_in_the_commands_that_look_into_them(
    failed: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    file = failed.folder / "sweep.yaml"
    print_failures(["failed: a"], Request(file, seeds="1", home=Path("there")))
    told = (
        f"orch: `orch why {file} ID --seeds 1 --home there` and `orch logs {file} ID --seeds 1 --home there`"
    )
    assert f"{told} tell more of each, `orch retry {file} --seeds 1 --home there`" in capsys.readouterr().err


def test_failures_of_a_bundle_are_run_again_by_what_its_import_prints(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = expansion()
    exported(place.folder / "tiny.orch.zip", filled(whole, status="failed"), whole)
    monkeypatch.chdir(place.folder)
    print_failures(["failed: a"], Request(Path("tiny.orch.zip")))
    told = capsys.readouterr().err
    assert "`orch why tiny.orch.zip ID` and `orch logs tiny.orch.zip ID` tell more of each" in told
    assert "the command that `orch import tiny.orch.zip` prints runs them again" in told


def test_why_of_a_trial_whose_parent_is_missing_names_what_trains_that(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workspace, "open_store", lambda self, **how: MemoryStore())
    place.write(yaml(TINY, SINGLE), "tiny.yaml")
    place.write(yaml(AFTER), "after.yaml")
    said = place.orch("why", "after.yaml", "base", "--seed", "1", "--home", "there").stdout
    (step,) = [line for line in said.splitlines() if line.startswith("next")]
    assert step.endswith("was not trained; `orch sweep tiny.yaml --keep encoder --home there` trains it")


@pytest.mark.parametrize(
    ("parent", "tuned", "again"),
    [
        (None, *["`orch sweep chain.yaml --home there` trains it"] * 2),
        (
            "completed",
            "was trained without keeping its encoder; "
            "`orch sweep chain.yaml --retrain-unkept --home there` trains it",
            "; `orch sweep chain.yaml --retrain-unkept --home there` trains it",
        ),
        ("collapsed", "which collapsed; a result, and stays: ", "which can never start; name another cell"),
    ],
)
def test_why_of_a_trial_of_a_chain_says_what_hinders_it_as_status_does(
    parent: str | None, tuned: str, again: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, made = MemoryStore(), expansion(yaml(TINY, CHAIN))
    monkeypatch.setattr(Workspace, "open_store", lambda self, **how: store)
    place.write(yaml(TINY, CHAIN), "chain.yaml")
    for trial in made.trials if parent else ():
        if trial.parent is None:
            store.begin(trial.facts, INFO)
            store.finish(trial.id, outcome(status=parent), INFO)
    status = place.orch("status", "chain.yaml", "--home", "there").stdout
    for cell, says in (("tuned", tuned), ("again", again)):
        said = place.orch("why", "chain.yaml", cell, "--home", "there").stdout
        steps = [line[11:] for line in said.splitlines() if line.startswith("next")]
        assert len(steps) == 2 and all(says in step for step in steps)
        alike = [step.partition("from the encoder of")[2].partition("which")[2] for step in steps]
        assert all(words in status for words in alike)


def test_the_command_that_makes_an_encoder_to_start_from_shows_no_secret() -> None:
    asked = expansion(yaml(TINY, CHAIN))
    trial = next(one for one in asked.trials if one.parent is not None)
    request: Any = SimpleNamespace(
        expansion=asked, file=Path("chain.yaml"), changes={"data.root": "http://me:secret@host/images"}
    )
    with pytest.raises(UsageError, match=r"--set 'data\.root=\"http://host/images\"'") as told:
        given_encoder(request, trial, None)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("`orch sweep` trains it", "the command that `orch import b.orch.zip` prints trains it"),
        ("then `orch retry SPEC 'EMA · few'`", "then the command that `orch import b.orch.zip` prints"),
        (
            "`orch sweep SPEC --seeds 7,` trains it alone",
            "the command that `orch import b.orch.zip` prints, with `--seeds 7,`, trains it alone",
        ),
        (
            "`orch sweep --retrain-changed` trains",
            "the command that `orch import b.orch.zip` prints, with `--retrain-changed`, trains",
        ),
        (
            "`orch sweep other.yaml --keep encoder` trains it",
            "`orch import b.orch.zip`, then `orch sweep other.yaml --keep encoder`, trains it",
        ),
        ("`orch logs SPEC base` shows", "`orch logs b.orch.zip/tiny base` shows"),
        ("`orch status` shows all", "`orch status b.orch.zip/tiny` shows all"),
    ],
)
def test_of_a_bundle_no_message_names_a_command_that_would_train_into_it(line: str, said: str) -> None:
    assert typed(Path("b.orch.zip/tiny"), {}).of_bundle("/there/b.orch.zip").filled(line) == said


def test_what_was_typed_of_a_bundle_is_said_with_the_command_that_its_import_prints() -> None:
    asked = typed(Path("b.orch.zip"), {"home": Path("there"), "set": ["epochs=1"]}).of_bundle("b.orch.zip")
    said = "the command that `orch import b.orch.zip --home there` prints, with `--set epochs=1`, trains"
    assert asked.filled("`orch sweep` trains") == said


def test_a_sweep_file_over_a_bundle_is_trained_into_the_store_that_takes_the_bundle() -> None:
    asked = typed(Path("s.yaml"), {"seeds": "1", "home": Path("there"), "tracking_uri": "b.orch.zip"})
    asked = asked.of_bundle("/here/b.orch.zip")
    first = "`orch import /here/b.orch.zip --home there`"
    assert asked.filled("`orch sweep` trains") == (
        f"{first}, then `orch sweep s.yaml --seeds 1 --home there`, trains"
    )
    assert asked.filled("`orch import /here/b.orch.zip` puts") == f"{first} puts"
    reading = "`orch status s.yaml --seeds 1 --home there --tracking-uri b.orch.zip`"
    assert asked.filled("`orch status` shows") == f"{reading} shows"


def test_what_why_names_for_a_missing_trial_of_a_bundle_can_be_typed(ready: Place) -> None:
    whole = expansion()
    exported(ready.folder / "tiny.orch.zip", filled(whole, trials=4), whole)
    for words in (["why", "tiny.orch.zip", "No EMA · regular"], ["plan", "tiny.orch.zip"]):
        assert "orch sweep tiny.orch.zip" not in ready.orch(*words).stdout
    said = ready.orch("why", "tiny.orch.zip", "No EMA · regular", "--seed", "1").stdout
    (step,) = [line for line in said.splitlines() if line.startswith("next")]
    command = "the command that `orch import tiny.orch.zip` prints, with `--seeds 1,`,"
    assert step.split(maxsplit=1)[1] == f"{command} trains it"
    printed = ready.orch("import", "tiny.orch.zip").stdout.splitlines()[-1]
    plan, *again = shlex.split(printed)[1:]
    assert plan == "sweep" and "4 will run, 4 done" in ready.orch("plan", *again).stdout


def test_runs_of_others_are_not_to_be_imported_beside_a_bundle(place: Place) -> None:
    whole = expansion()
    exported(place.folder / "tiny.orch.zip", filled(whole), whole)
    told = place.orch("table", "tiny.orch.zip", "--with", "imported", code=2).stderr
    assert "`orch import csv FILE --into SPEC` brings some" in told
