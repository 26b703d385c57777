"""What a person sees of sweeps in MLflow's pages, as its client has it; and a server that hangs."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.mlflow.glance import sweeps_at_a_glance
from orchestrator.recording.mlflow.tags import (
    READ,
    SOURCE,
    TAG_LENGTH,
    UNDEFINED,
    axis_tag,
    end_tags,
    param_name,
    record_from,
)
from orchestrator.recording.workspace import workspace
from tests.builders import INFO, outcome, report, trials
from tests.place import Place

pytestmark = pytest.mark.filterwarnings("default")  # MLflow and SQLAlchemy warn about themselves


@pytest.fixture
def store(tmp_path: Path, database: Path) -> Any:
    from orchestrator.recording.mlflow.store import MlflowStore

    shutil.copy(database, tmp_path / "mlflow.db")
    return MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}", artifacts=tmp_path / "artifacts")


@pytest.mark.parametrize(
    ("status", "details", "mark"),
    [
        ("collapsed", {}, "† collapsed"),
        ("diverged", {}, "‡ diverged"),
        ("completed", {"collapse": {"verdict": "dimensional"}}, "° dimensional collapse"),
    ],
)
def test_a_collapsed_trial_is_called_so_in_the_list_of_runs(
    store: Any, status: str, details: dict[str, Any], mark: str
) -> None:
    trial = trials(1)[0]
    store.begin(trial.facts, INFO)
    store.report(trial.id, report(1))
    store.finish(trial.id, outcome(status=status, reason="rank 1.2 of 16", details=details), INFO)
    (run,) = store._find([trial.id]).values()
    assert run.info.run_name == f"{trial.label} {mark}"
    assert run.data.tags["mlflow.note.content"] == f"{mark[2:]}: rank 1.2 of 16"
    assert store.asked_for("tiny") == {trial.id: trial.label}
    assert store.records([trial.id])[trial.id].status == status


def test_a_trial_without_a_finding_has_its_own_name(store: Any) -> None:
    trial = trials(1)[0]
    store.begin(trial.facts, INFO)
    store.finish(trial.id, outcome(), INFO)
    (run,) = store._find([trial.id]).values()
    assert run.info.run_name == trial.label and "mlflow.note.content" not in run.data.tags


def test_however_many_numbers_are_of_the_curve_alone_none_is_in_the_result() -> None:
    told = {f"measures/{number:04}/{'x' * 40}": 0.5 for number in range(1000)}
    tags = end_tags(trials(1)[0].id, outcome(), INFO, told=told)
    assert all(len(text) <= TAG_LENGTH and tag in READ for tag, text in tags.items())
    metrics = told | outcome().metrics
    read = record_from(trials(1)[0].id, run="1", state="FINISHED", tags=tags, metrics=metrics)
    assert read.metrics == outcome().metrics
    few = end_tags(trials(1)[0].id, outcome(), INFO, told=["train/loss"])
    assert [text for tag, text in few.items() if tag in UNDEFINED] == ['["train/loss"]']


@pytest.mark.parametrize("number", [0, 1, 70, 2000])
def test_however_many_files_trained_a_trial_its_record_names_each(number: int) -> None:
    source = {f"code/module_{n:04}/{'x' * 30}.py": f"{n:08x}" for n in range(number)}
    trial_id = trials(1)[0].id
    tags = end_tags(trial_id, outcome(details={"source": source}), INFO)
    assert all(len(text) <= TAG_LENGTH and tag in READ for tag, text in tags.items())
    assert len(tags) + len(UNDEFINED) <= 100  # MLflow takes no more at once
    assert record_from(trial_id, run="1", state="FINISHED", tags=tags, metrics={}).source == source


def test_of_more_files_than_tags_hold_none_is_named() -> None:
    source = {f"code/module_{n:05}/{'x' * 60}.py": f"{n:08x}" for n in range(10_000)}
    tags = end_tags(trials(1)[0].id, outcome(details={"source": source}), INFO)
    assert tags.keys().isdisjoint(SOURCE)
    assert record_from(trials(1)[0].id, run="1", state="FINISHED", tags=tags, metrics={}).source == {}


def test_what_an_earlier_version_cut_off_is_not_known_and_hides_no_record() -> None:
    whole = json.dumps({f"code/{n:04}.py": f"{n:08x}" for n in range(300)})
    tags = end_tags(trials(1)[0].id, outcome(), INFO) | {"orch.source": whole[:TAG_LENGTH]}
    assert record_from(trials(1)[0].id, run="1", state="FINISHED", tags=tags, metrics={}).source == {}


NAMES = [
    "λ",
    "β",
    "a b",
    "a_b",
    "a.b",
    "a-b",
    "a/b",
    "a//b",
    "a|b",
    "a%b",
    "..",
    ".",
    "a ",
    " a",
    "_",
    "x" * 300,
]


def test_every_axis_has_a_tag_of_its_own(store: Any) -> None:
    facts = trials(1)[0].facts
    facts = facts.model_validate(facts.model_dump() | {"levels": {name: f"is {name}" for name in NAMES}})
    store.begin(facts, INFO)
    (run,) = store._find([facts.trial_id]).values()
    assert [run.data.tags[axis_tag(name)] for name in NAMES] == [f"is {name}" for name in NAMES]
    assert axis_tag("λ") == "orch.axis.λ" and axis_tag("ema") == "orch.axis.ema"


SETTINGS = [
    *(f"params.{name}" for name in (*NAMES, "a@b", "a+b", "a/../b", "a(b", "a[b", "a\nb", "c" * 300)),
    "files.digests.train (1).py",
    "files.digests.c++/net.py",
]


def test_a_trial_whose_settings_have_any_names_is_kept_and_each_is_a_parameter_of_its_own(store: Any) -> None:
    facts = trials(1)[0].facts
    identity = {name: f"is {name}" for name in SETTINGS}
    facts = facts.model_validate(facts.model_dump() | {"identity": identity})
    store.begin(facts, INFO)
    store.finish(facts.trial_id, outcome(), INFO)
    (run,) = store._find([facts.trial_id]).values()
    assert [run.data.params[param_name(name)] for name in SETTINGS] == [f"is {name}" for name in SETTINGS]
    assert store.records([facts.trial_id])[facts.trial_id].is_done


@pytest.mark.parametrize(
    "name", ["method.momentum", "files.digests.src/net.py", "params.a b", "params.a:b", "p" * 250]
)
def test_a_setting_whose_name_mlflow_takes_is_a_parameter_of_that_name(name: str) -> None:
    assert param_name(name) == name


def test_an_experiment_says_what_its_sweep_asks_and_keeps_what_a_person_wrote(store: Any) -> None:
    def note(question: str | None, *, name: str = "tiny") -> str | None:
        info = INFO.model_validate(INFO.model_dump() | {"question": question, "name": name})
        store._experiments.clear()
        store.publish(info, {"main.md": b"x"}, content="c")
        experiment = store._client.get_experiment_by_name(name)
        return experiment.tags.get("mlflow.note.content")  # type: ignore[no-any-return]

    assert note("Does it need EMA?") == "Does it need EMA?"
    assert note("Does SimSiam?") == "Does SimSiam?"
    assert note(None) == "Does SimSiam?"
    experiment = store._client.get_experiment_by_name("tiny")
    store._client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "my own words")
    assert note("Does BYOL?") == "my own words"
    assert note(None, name="older") is None and note("Why?", name="older") == "Why?"


def test_runs_are_shown_with_the_metrics_of_tables_first_and_the_summary_on_top(
    store: Any,
) -> None:
    info = INFO.model_validate(INFO.model_dump() | {"metrics": ("test/acc",)})
    store.begin(trials(1)[0].facts, info)
    store.publish(info, {"main.md": b"x"}, content="c")
    experiment = store._client.get_experiment_by_name("tiny")
    view = json.loads(experiment.tags["mlflow.sharedViewState.orch"])
    assert view["selectedColumns"][:2] == ["metrics.`test/acc`", "metrics.`probe/top1`"]
    assert {"tags.`orch.cell`", "tags.`orch.seed`", "tags.`orch.status`"} < set(view["selectedColumns"])
    charts = [(one["metricKey"], one["type"]) for one in view["compareRunCharts"]]
    assert charts[0] == ("test/acc", "BAR") and charts[-1] == ("train/loss", "LINE")
    runs = store._client.search_runs(
        [experiment.experiment_id],
        order_by=[f"{view['orderByKey']} {'ASC' if view['orderByAsc'] else 'DESC'}"],
    )
    assert [run.info.run_name for run in runs] == ["summary", trials(1)[0].label]


def test_what_knows_of_no_tables_leaves_the_columns_as_they_are(store: Any) -> None:
    store.begin(trials(1)[0].facts, INFO.model_copy(update={"metrics": ("test/acc",)}))
    store._experiments.clear()
    store.begin(trials(2)[1].facts, INFO)
    experiment = store._client.get_experiment_by_name("tiny")
    assert "metrics.`test/acc`" in experiment.tags["mlflow.sharedViewState.orch"]


def test_known_runs_are_looked_up_together(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = trials(4)
    for trial in found:
        store.begin(trial.facts, INFO)
    asked: list[str] = []
    whole = store._client.search_runs

    def search(experiments: list[str], query: str = "", **named: Any) -> Any:
        asked.append(query)
        return whole(experiments, query, **named)

    monkeypatch.setattr(store._client, "search_runs", search)
    ids = [trial.id for trial in found]
    first = store.records(ids)
    asked.clear()
    assert store.records(ids) == first and len(asked) == 1
    with monkeypatch.context():
        store._client.delete_run(store._runs[ids[0]])
    assert set(store.records(ids)) == set(ids[1:])


def test_a_result_is_not_deleted_for_an_older_run_that_somebody_restores(store: Any) -> None:
    (trial,) = trials(1)
    store.begin(trial.facts, INFO)
    (former,) = store._find([trial.id]).values()
    store._client.delete_run(former.info.run_id)
    store.begin(trial.facts, INFO)
    store.finish(trial.id, outcome(0.25), INFO)
    store._client.restore_run(former.info.run_id)
    store._runs.clear()
    assert not store.records([trial.id])[trial.id].is_done  # the oldest counts ...
    store.begin(trial.facts, INFO)
    store._runs.clear()
    assert store.records([trial.id])[trial.id].metrics == {
        "probe/top1": 0.25
    }  # ... until it would be trained


def test_runs_that_an_earlier_command_has_seen_are_looked_up_together(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    from orchestrator.recording.stores import tracking

    found = trials(4)
    for trial in found:
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(), INFO)
    ids = [trial.id for trial in found]
    there = store.records(ids)
    FinishedTrials(tmp_path / tracking.JOURNALS, store=store.uri).add(there.values())
    asked: list[str] = []
    whole = MlflowClient.search_runs

    def search(
        client: MlflowClient, experiments: list[str], query: str = "", *more: Any, **named: Any
    ) -> Any:
        asked.append(query)
        return whole(client, experiments, query, *more, **named)

    monkeypatch.setattr(MlflowClient, "search_runs", search)
    # As of a server: nothing but the address is known.
    assert tracking.at(store.uri, "test", home=tmp_path).to_read().records(ids) == there
    assert len(asked) == 1
    store._client.delete_run(str(there[ids[0]].run))
    store._client.set_tag(str(there[ids[1]].run), "orch.status", "diverged")
    now = tracking.at(store.uri, "test", home=tmp_path).to_read().records(ids)
    assert set(now) == set(ids[1:]) and now[ids[1]].status == "diverged"


def test_the_pages_of_sweeps_are_named(
    ready: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from orchestrator.commands.look import ui

    space = workspace(ready.folder / "runs", None, None)
    journaled = space.open_journaled()
    journaled.begin(trials(1)[0].facts, INFO)
    journaled.flush()
    journaled.close()
    said: list[str] = []

    class Server:
        def wait(self, timeout: float | None = None) -> int:
            return 0

        def poll(self) -> int | None:
            return None

        def terminate(self) -> None:
            """It has ended by itself."""

    answers = iter([False, False, True])
    monkeypatch.setattr("subprocess.Popen", lambda *words, **named: Server())
    monkeypatch.setattr(ui, "_answers", lambda port: next(answers))
    ui.serve(space, port=5917, say=said.append)
    number = sweeps_at_a_glance(ready.folder / "runs" / "mlflow.db")["tiny"]
    assert f"tiny: http://127.0.0.1:5917/#/experiments/{number}/runs?" in said[2]
    assert said[0] == "starting MLflow's server …"
    assert said[2].endswith("workflowType=machine_learning&viewStateShareKey=orch")


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    """The address of a server that takes every call and answers none."""
    taken = []

    def take(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=take, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for line in taken:
        line.close()


def test_a_server_that_hangs_is_said_to_be_waited_for_and_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("orchestrator.process.waiting.WORD_S", 0.05)
    monkeypatch.setattr("orchestrator.recording.journal.delivery.AWAY_S", 0.2)
    said: list[str] = []
    with hanging() as address:
        journaled = workspace(tmp_path / "runs", address, None).open_journaled(say=said.append)
        assert said == [f"opening {address} …"] and journaled.away
        journaled.begin(trials(1)[0].facts, INFO)
        journaled.flush()  # would hang for as long as its own bound
        journaled.close()
    assert journaled.waits and f"writing results to {address} …" in said
    assert "orch sync" in "".join(journaled.notes)


def test_a_try_at_a_server_that_hangs_is_bounded() -> None:
    from mlflow.environment_variables import (
        MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES,
        MLFLOW_HTTP_REQUEST_TIMEOUT,
    )

    tries = MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() + 1
    pauses = sum(MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.get() * 2**n for n in range(1, tries - 1))
    assert tries * MLFLOW_HTTP_REQUEST_TIMEOUT.get() + pauses <= 60


def test_a_damaged_database_is_one_line_with_a_next_step(ready: Place) -> None:
    file = ready.folder / "runs" / "mlflow.db"
    content = bytearray(file.read_bytes())
    content[4096:] = b"\x07" * (len(content) - 4096)
    file.write_bytes(content)
    for command in ("status", "sweep"):
        said = ready.orch(command, "sweep.yaml", code=2).stderr
        assert "is damaged; move it away" in said and "orch sync" in said and "SQL" not in said
    with contextlib.suppress(sqlite3.Error):
        sqlite3.connect(file).close()
