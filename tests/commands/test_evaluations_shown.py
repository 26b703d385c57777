"""Commands that look find and name evaluations as they do trials; with a store in memory."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Collection

import pytest
from rich.console import Console

from orchestrator.commands.look import forecast
from orchestrator.commands.request import Request
from orchestrator.commands.screen import watch as watching
from orchestrator.planning.evaluations import Evaluations, evaluations
from orchestrator.planning.trials import TrialSpec
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.workspace import Workspace
from orchestrator.records import TrialRecord
from tests.builders import INFO, TINY, expansion, outcome, yaml
from tests.place import Place
from tests.planning.test_evaluations import CELLS, digest

SPEC = yaml(TINY, CELLS)
TABLE = "tables:\n  - {name: main, rows: ema}\n"


@pytest.fixture
def found(place: Place, monkeypatch: pytest.MonkeyPatch) -> Evaluations:
    """Three of four trials are done, one of them without its encoder; of four evaluations one failed."""
    store, made = MemoryStore(), expansion(SPEC)
    monkeypatch.setattr(Workspace, "open_store", lambda self, **how: store)
    place.write(SPEC + TABLE)
    for trial, kept in zip(made.trials, (True, False, True), strict=False):
        store.begin(trial.facts, INFO, worker="here:1")
        details = {"encoder": {"sha256": digest(trial.id)}} if kept else {}
        store.finish(trial.id, outcome(details=details), INFO)
    every = evaluations(made, store.records([trial.id for trial in made.trials]))
    for number, trial in enumerate(every.expansion.trials[:3]):
        store.begin(trial.facts, INFO, worker="here:1")
        bad = {"status": "failed", "reason": "out of luck", "error": "code", "metrics": {}}
        good = {"metrics": {"evaluation/top1": 0.25}}
        store.finish(trial.id, outcome(**(bad if number == 1 else good)), INFO)
    (place.folder / "runs" / "logs").mkdir(parents=True)
    return every


def failed(found: Evaluations) -> str:
    return found.expansion.trials[1].id


def why(place: Place, *words: str) -> list[dict[str, str]]:
    parts = place.orch("why", "sweep.yaml", *words).stdout.split("\n\n")
    return [{line[:11].strip(): line[11:] for line in part.splitlines()} for part in parts]


def test_why_finds_an_evaluation_by_cell_and_name_and_by_its_id(place: Place, found: Evaluations) -> None:
    one = found.expansion.trials[1]
    assert one.label == "EMA · few · seed 0"
    (by_name,) = why(place, "EMA · few", "--seed", "0")
    (by_id,) = why(place, one.id[:8], "--seed", "0")
    assert by_name == by_id
    assert by_id["evaluation"] == one.label and by_id["cause"] == "out of luck"
    assert by_id["id"] == one.id and by_id["encoder"].startswith("of EMA · seed 0 (")
    assert by_id["asked for"].startswith("evaluation few (linear, 20 % of the labels), sweep.yaml:")
    assert "`orch retry sweep.yaml 'EMA · few' --seeds 0,`" in by_id["next"]


def test_why_of_a_cell_says_how_its_evaluations_stand(place: Place, found: Evaluations) -> None:
    said = place.orch("why", "sweep.yaml", "EMA", "--seed", "0").stdout
    assert f"evaluation EMA · few ({failed(found)}): failed: out of luck" in said
    assert "evaluation EMA · near (" in said and "): completed" in said
    kept = digest(found.sweep.trials[0].id)[:12]
    assert f"encoder    kept, digest {kept}, and is not in memory; `orch sweep" in said


def test_why_says_what_an_evaluation_waits_for(place: Place, found: Evaluations) -> None:
    (unkept,) = why(place, "No EMA · near", "--seed", "0")
    assert unkept["status"] == "waits for the encoder" and "--retrain-unkept" in unkept["next"]
    (missing,) = why(place, "No EMA · near", "--seed", "1")
    assert "which is missing" in missing["encoder"]
    assert missing["next"].startswith("`orch sweep sweep.yaml --seeds 1,` trains")


def test_what_names_nothing_is_told_with_the_evaluations_there_are(place: Place, found: Evaluations) -> None:
    told = place.orch("why", "sweep.yaml", "nonsense", code=2).stderr
    assert "no cell 'nonsense'" in told and "evaluations: EMA · near; No EMA · near; " in told


def test_failures_count_evaluations_and_name_them(place: Place, found: Evaluations) -> None:
    said = place.orch("failures", "sweep.yaml").stdout.splitlines()
    assert said[0] == "tiny: 0 of 4 trials, 1 of 4 evaluations failed"
    assert said[1:] == [f"  evaluation EMA · few · seed 0 ({failed(found)}): out of luck; on here:1"]


def test_status_tells_why_an_evaluation_failed_to_people_and_programs(
    place: Place, found: Evaluations
) -> None:
    said = place.orch("status", "sweep.yaml").stdout
    assert f"evaluation EMA · few · seed 0 ({failed(found)}): out of luck" in said
    assert "evaluation near (knn): 2 completed, 2 wait for an encoder" in said
    assert "1 failed, 1 missing, 2 wait for an encoder" in said
    for command in ("status", "plan"):
        (told,) = json.loads(place.orch(command, "sweep.yaml", "--json").stdout)
        rows = {(one["evaluation"], one["cell"], one["seed"]): one for one in told["evaluations"]}
        assert len(rows) == 8
        assert rows["few", "EMA", 0]["reason"] == "out of luck" and rows["few", "EMA", 0]["id"] == failed(
            found
        )
        assert rows["few", "No EMA", 0]["status"] == "waiting" and rows["few", "No EMA", 0]["id"] is None


def test_a_sweep_without_evaluations_says_nothing_of_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workspace, "open_store", lambda self, **how: MemoryStore())
    place.write(yaml(TINY))
    assert "evaluation" not in place.orch("status", "sweep.yaml").stdout
    (told,) = json.loads(place.orch("status", "sweep.yaml", "--json").stdout)
    assert "evaluations" not in told


def test_logs_are_those_of_what_is_named_and_say_that_evaluations_have_their_own(
    place: Place, found: Evaluations
) -> None:
    folder, parent = place.folder / "runs" / "logs", found.sweep.trials[0]
    (folder / f"{failed(found)}.log").write_text("of the evaluation\n")
    (folder / f"{parent.id}.log").write_text("of the trial\n")
    assert place.orch("logs", "sweep.yaml", "EMA · few").stdout == "of the evaluation\n"
    own = place.orch("logs", "sweep.yaml", "EMA")
    assert own.stdout == "of the trial\n"
    assert "`orch logs sweep.yaml 'EMA · few'`" in own.stderr
    assert "no log of 'EMA · near'" in place.orch("logs", "sweep.yaml", "EMA · near", code=2).stderr


def watched(place: Place, seeds: str, *, done: str | None = None) -> list[str]:
    """What is said by a watch of these seeds, where the trial of that label is done, too."""
    said: list[str] = []
    request = Request(place.folder / "sweep.yaml", seeds=seeds, home=place.folder / "runs")
    for trial in request.trials:
        if trial.label == done:
            request.store().begin(trial.facts, INFO)
            request.store().finish(trial.id, outcome(), INFO)
    watching.watch([request], say=said.append, console=Console(file=io.StringIO()))
    return said


def test_a_watch_counts_evaluations_and_does_not_end_before_them(
    place: Place, found: Evaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(watching, "who_trains", lambda request: lambda: ())
    assert watched(place, "0,") == [
        "tiny: 2 completed, evaluations: 1 completed, 1 failed",
        "all trials have ended",
    ]
    first, *_, last = watched(place, "1,", done="No EMA · seed 1")
    assert first == "tiny: 2 completed, evaluations: 1 completed, 1 missing"
    assert last.startswith("nobody has trained")


def test_each_look_asks_the_store_once_for_trials_and_once_for_evaluations(
    place: Place, found: Evaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(place.folder / "sweep.yaml", home=place.folder / "runs")
    asked: list[frozenset[str]] = []
    records = MemoryStore.records

    def noted(store: MemoryStore, trial_ids: Collection[str]) -> dict[str, TrialRecord]:
        asked.append(frozenset(trial_ids))
        return records(store, trial_ids)

    monkeypatch.setattr(MemoryStore, "records", noted)
    for look in (1, 2):
        plan = request.look_again()
        request.evaluation_plan(plan.records)
        assert len(asked) == 2 * look
    assert asked[1] == {trial.id for trial in found.expansion.trials}


def test_a_forecast_names_evaluations_now_and_after_training(
    place: Place, found: Evaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = place.orch("plan", "sweep.yaml", "--forecast", "--seeds", "0,").stdout
    assert "evaluation few: 1 trial not counted: an evaluation needs the encoder of a trial" in said
    asked: list[str] = []

    def forecast_of(trials: list[TrialSpec], *given: object, **how: object) -> forecast.ForecastReport:
        asked.extend(trial.label for trial in trials)
        return forecast.ForecastReport(None, {}, "", 0.0)

    monkeypatch.setattr(forecast, "forecast_of", forecast_of)
    place.orch("plan", "sweep.yaml", "--forecast", "--seeds", "1,")
    later = ["EMA · few · seed 1", "No EMA · near · seed 1", "No EMA · few · seed 1"]
    assert asked == ["No EMA · seed 1", *later]


def test_a_table_of_evaluations_is_asked_for_by_a_flag(place: Place, found: Evaluations) -> None:
    said = place.orch("table", "sweep.yaml", "--columns", "evaluations", "--seeds", "0,").stdout
    assert "near: knn" in said and "25.0" in said
    told = place.orch("table", "sweep.yaml", "--columns", "evaluations", "--columns", "ema", code=2).stderr
    assert "--columns evaluations: is a column for each; name axes under --rows" in told
    place.write(yaml(TINY) + "tables:\n  - {name: main, rows: cells}\n")
    told = place.orch("table", "sweep.yaml", "--columns", "evaluations", code=2).stderr
    assert "columns: evaluations, and sweep 'tiny' has none; add `evaluations:` to its file" in told


def test_what_evaluations_cost_is_counted_and_named(place: Place, found: Evaluations) -> None:
    told = json.loads(place.orch("cost", "sweep.yaml", "-f", "json").stdout)
    assert [one["name"] for one in told["evaluations"]] == [
        "EMA · near",
        "No EMA · near",
        "EMA · few",
        "No EMA · few",
    ]
    assert (sum(one["trials"] for one in told["cells"]), told["all"]["trials"]) == (3, 6)
    said = place.orch("cost", "sweep.yaml").stdout.splitlines()
    assert any(line.split()[:5] == ["evaluation", "EMA", "·", "few", "1"] for line in said)
    assert sum(line.startswith("evaluation ") for line in said) == 4


def test_a_report_says_which_evaluations_are_missing_and_what_makes_them(
    place: Place, found: Evaluations
) -> None:
    place.orch("report", "sweep.yaml")
    page = (place.folder / "tiny.html").read_text(encoding="utf-8")
    assert "evaluation near (knn): 2 completed, 2 wait for an encoder" in page
    assert "`orch sweep sweep.yaml` makes what is missing of them" in page
