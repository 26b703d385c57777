"""The command line as a user meets it: words in, words out, exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.commands.request import Request
from tests.builders import PUBLISHED, table_yaml
from tests.place import FIGURES, Done, Place, typed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place where the tiny sweep was run once."""
    place = Place(tmp_path_factory.mktemp("swept"))
    place.first = place.process("sweep", "sweep.yaml", "--executor", "serial")  # type: ignore[attr-defined]
    yield place


def test_a_sweep_ends_in_its_table(swept: Place) -> None:
    first: Done = swept.first  # type: ignore[attr-defined]
    assert "tiny: 4 cells × 2 seeds = 8 trials" in first.stderr
    assert "[8/8]" in first.stderr
    lines = first.stdout.splitlines()
    assert lines[0].startswith("tiny, table main: probe/top1 in %")
    assert re.match(r"EMA +\d+\.\d ± \d+\.\d", lines[4])


def test_the_same_command_again_trains_nothing_and_prints_the_same_table(swept: Place) -> None:
    again = swept.orch("sweep", "sweep.yaml", "--executor", "serial")
    assert "nothing to do: all 8 trials" in again.stderr
    assert again.stdout == swept.first.stdout  # type: ignore[attr-defined]


def test_a_finished_sweep_leaves_no_checkpoints_and_a_viewer_writes_nothing(swept: Place) -> None:
    def files() -> list[tuple[str, int]]:
        found = (swept.folder / "runs").rglob("*")
        return sorted((str(p), p.stat().st_size) for p in found if p.is_file())

    before = files()
    assert not [name for name, _ in before if name.endswith((".pt", ".part"))]
    for command in ("plan", "status", "table", "validate"):
        swept.orch(command, "sweep.yaml")
    assert files() == before


def test_plan_counts_what_is_there_and_what_more_seeds_need(swept: Place) -> None:
    assert "0 will run, 8 done" in swept.orch("plan", "sweep.yaml").stdout
    plan = json.loads(swept.orch("plan", "sweep.yaml", "--seeds", "4", "--json").stdout)[0]
    assert {t["seed"] for t in plan["todo"]} == {2, 3}
    assert (len(plan["todo"]), len(plan["done"])) == (8, 8)


def test_two_files_that_share_trials_plan_them_once(place: Place) -> None:
    place.write(table_yaml().replace("name: tiny", "name: twin"), "twin.yaml")
    text = place.orch("plan", "sweep.yaml", "twin.yaml").stdout
    assert "together: 8 trials will run; 8 shared, trained once" in text


def test_another_file_with_the_same_trials_finds_them_done(swept: Place) -> None:
    swept.write(table_yaml().replace("name: tiny", "name: twin"), "twin.yaml")
    again = swept.orch("sweep", "twin.yaml", "--executor", "serial")
    assert "nothing to do: all 8 trials" in again.stderr


@pytest.mark.parametrize("form", ["md", "tex", "csv", "json"])
def test_a_table_comes_in_every_format(swept: Place, form: str) -> None:
    text = swept.orch("table", "sweep.yaml", "-f", form).stdout
    if form == "json":
        assert [entry["n"] for entry in json.loads(text)["entries"]] == [2, 2, 2, 2]
    else:
        assert "symmetric" in text


def test_a_folder_for_figures_that_cannot_be_is_told_before_they_are_drawn(
    swept: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.answer.publish.figure_files", None)
    told = swept.orch("figures", "sweep.yaml", "-o", "o" * 300, code=2).stderr
    assert told.endswith(": File name too long; choose another folder with --out\n")
    assert len([line for line in told.splitlines() if not line.endswith(" …")]) == 1


def test_the_folder_of_a_changed_sweep_has_a_name_that_a_disk_takes(tmp_path: Path) -> None:
    name, profile = "n" * 200, "p" * 40
    text = (
        table_yaml().replace("name: tiny", f"name: {name}", 1) + f"profiles: {{{profile}: {{epochs: 1}}}}\n"
    )
    (file := tmp_path / "long.yaml").write_text(text, encoding="utf-8")
    request = Request(file, profile=profile, changes=["epochs=2"])
    assert name in request.folder_name
    (tmp_path / request.folder_name).mkdir()


def test_figures_are_drawn_from_the_store(swept: Place) -> None:
    paths = swept.orch("figures", "sweep.yaml", "-o", "out", "-f", "png", "-f", "pdf").stdout.split()
    assert [(swept.folder / path).read_bytes()[:4] for path in paths] == [b"\x89PNG", b"%PDF"]


def test_status_shows_every_cell_and_seed(swept: Place) -> None:
    text = swept.orch("status", "sweep.yaml").stdout
    assert len(re.findall("^  .*✓ ✓$", text, flags=re.MULTILINE)) == 4
    assert "8 completed" in text
    record = json.loads(swept.orch("status", "sweep.yaml", "--json").stdout)[0]
    assert {t["status"] for t in record["trials"]} == {"completed"}


def test_a_table_of_other_settings_says_that_the_store_has_those_of_some(swept: Place) -> None:
    told = swept.orch("table", "sweep.yaml", "--set", "epochs=3").stderr
    assert "trials of 'tiny', and none of these; repeat the --profile, --seeds and --set" in told
    assert swept.orch("table", "sweep.yaml").stderr == ""


def test_a_single_trial_runs_in_process_and_stores_nothing(place: Place) -> None:
    done = place.orch("trial", "sweep.yaml", "ema=EMA,predictor=regular", "--seed", "7")
    assert "epoch 2/2" in done.stdout
    assert "probe/top1" in done.stdout
    assert not (place.folder / "runs").exists()


def test_a_trial_alone_has_the_numbers_of_the_sweep(swept: Place) -> None:
    done = swept.orch("trial", "sweep.yaml", "EMA · regular", "--json").stdout.splitlines()
    alone = json.loads(done[-1])["metrics"]["probe/top1"]
    entry = json.loads(swept.orch("table", "sweep.yaml", "-f", "json").stdout)["entries"][1]
    assert entry["values"]["0"] == alone


def test_a_published_number_out_of_tolerance_is_exit_code_5_only_when_asked(swept: Place) -> None:
    swept.write(table_yaml(PUBLISHED), "published.yaml")
    swept.orch("table", "published.yaml")
    swept.orch("table", "published.yaml", "--check", code=5)
    swept.orch("table", "published.yaml", "--check", "--seeds", "9", code=5)


def test_check_without_anything_to_check_is_a_usage_error(place: Place) -> None:
    assert "no published numbers" in place.orch("table", "sweep.yaml", "--check", code=2).stderr


BAD = {
    "a missing file": (["plan", "nowhere.yaml"], "nowhere.yaml: no such file"),
    "a folder": (["plan", "."], "cannot be read"),
    "an unknown profile": (["plan", "sweep.yaml", "-p", "papr"], "no profile 'papr'"),
    "a setting among files": (["plan", "sweep.yaml", "epochs=3"], "a setting is given as --set epochs=3"),
    "zero seeds": (["plan", "sweep.yaml", "--seeds", "0"], "--seeds 0: expected a number from 1"),
    "words for seeds": (["plan", "sweep.yaml", "--seeds", "three"], "--seeds three"),
    "a setting without value": (["plan", "sweep.yaml", "--set", "epochs"], "expected path=value"),
    "a misspelt setting": (
        ["plan", "sweep.yaml", "--set", "epoch=3"],
        "--set epoch=3: epoch: no such field; did you mean 'epochs'?",
    ),
    "an unknown format": (["table", "sweep.yaml", "-f", "word"], "no table format 'word'"),
    "an unknown table": (["table", "sweep.yaml", "--name", "mani"], "tables: main"),
    "an unknown cell": (["trial", "sweep.yaml", "EMMA · regular"], "did you mean 'EMA · regular'"),
    "an ambiguous cell": (["trial", "sweep.yaml", "ema=EMA"], "fits 2 cells"),
    "an unknown executor": (["sweep", "sweep.yaml", "--executor", "slurm"], "known: ray, serial"),
    "figures before results": (["figures", "sweep.yaml"], "run it first"),
    "pages before results": (["ui"], "run a sweep first"),
    "missing data": (["sweep", "sweep.yaml", "--set", "data=cifar10"], "--download"),
    "a home that is a file": (["sweep", "sweep.yaml", "--home", "sweep.yaml"], "--home"),
    "a tracker that does not answer": (
        ["plan", "sweep.yaml", "--tracking-uri", "http://user:secret@127.0.0.1:9"],
        "does not answer",
    ),
}


def test_a_setting_without_its_flag_is_told_how_it_is_given(place: Place) -> None:
    said = place.orch("sweep", "sweep.yaml", "epochs=3", code=2, COLUMNS="200").stderr
    assert "got unexpected extra argument(s) (epochs=3); a setting is given as --set epochs=3" in said


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_exit_code_2(place: Place, what: str) -> None:
    words, says = BAD[what]
    done = place.orch(*words, code=2, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
    assert says in done.stderr
    told = [
        line for line in done.stderr.strip().splitlines() if not line.endswith(" …")
    ]  # what is waited for
    assert len(told) <= 3, done.stderr  # a sweep says first what it is about
    assert "secret" not in done.stderr
    assert not list((place.folder).rglob("*.pt"))


@pytest.mark.parametrize(
    ("broken", "says"),
    [("no database at all", "is not a database"), ("another version", "made by another version of MLflow")],
)
def test_a_store_that_cannot_be_read_is_left_as_it_is(
    swept: Place, place: Place, broken: str, says: str
) -> None:
    database = place.folder / "runs" / "mlflow.db"
    database.parent.mkdir()
    if broken == "another version":
        shutil.copy(swept.folder / "runs" / "mlflow.db", database)
        with sqlite3.connect(database) as connection:
            connection.execute("update alembic_version set version_num = 'ffffffffffff'")
    else:
        database.write_text("not a database, but long enough to be read as one" * 100)
    before = database.read_bytes()
    for command in ("plan", "sweep"):
        assert says in place.orch(command, "sweep.yaml", code=2).stderr
    assert database.read_bytes() == before


@pytest.mark.slow
def test_output_is_data_on_stdout_and_words_on_stderr(ready: Place) -> None:
    done = ready.process("sweep", "sweep.yaml", "--executor", "serial", "--json", "--seeds", "1")
    lines = done.stdout.splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert (events.count("finished"), events[-1]) == (4, "table")
    assert done.stderr == ""


def test_completion_offers_the_commands() -> None:
    orch = Path(sys.executable).with_name("orch")
    asked = {"_ORCH_COMPLETE": "complete_bash", "COMP_WORDS": "orch sw", "COMP_CWORD": "1"}
    done = subprocess.run([orch], capture_output=True, text=True, env=os.environ | asked, check=False)
    assert done.stdout.split() == ["sweep"]


def test_every_sweep_that_ships_is_valid(place: Place) -> None:
    files = [str(path) for path in sorted((ROOT / "sweeps").glob("*.yaml"))]
    lines = place.orch("validate", *files).stdout.splitlines()
    assert len(lines) >= len(files) and all(": ok, " in line for line in lines)


def test_the_schema_beside_the_sweeps_is_the_one_that_is_printed(place: Place) -> None:
    written = (ROOT / "sweeps" / "schema.json").read_text(encoding="utf-8")
    assert place.orch("schema").stdout == written


# What a sweep does when something in its answer is wrong


def test_validate_and_sweep_find_a_table_that_cannot_be_made_before_training(place: Place) -> None:
    place.write(table_yaml().replace("{ema: EMA, predictor: regular}", "{ema: EMA}") + FIGURES)
    for command in ("validate", "sweep"):
        assert "fits 2 of its cells" in place.orch(command, "sweep.yaml", code=2).stderr
    assert not (place.folder / "runs").exists()


@pytest.mark.slow
def test_reading_commands_take_the_profile_that_has_results(ready: Place) -> None:
    profiles = "profiles: {laptop: {epochs: 1}, small: {epochs: 2}}\n"
    ready.write(table_yaml() + profiles)
    ready.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1", "--profile", "small")
    shown = ready.orch("status", "sweep.yaml", "--seeds", "1").stdout
    assert "profile small (it has results)" in shown and "4 completed" in shown
    assert "profile small" in ready.orch("table", "sweep.yaml", "--seeds", "1").stdout


@pytest.mark.parametrize("seeds", ["3000000000,1", "20000"])
def test_seeds_out_of_range_are_refused(place: Place, seeds: str) -> None:
    assert "--seeds" in place.orch("plan", "sweep.yaml", "--seeds", seeds, code=2).stderr


# Flags that cannot do what they say


def test_a_setting_that_a_level_overrules_is_told(place: Place) -> None:
    told = place.orch("plan", "sweep.yaml", "--set", "method.momentum=0.5", "--set", "epochs=3").stdout
    assert "--set method.momentum has no effect in 4 of 4 cells: a level decides there" in told
    assert "--set epochs" not in told


def test_an_address_where_nothing_listens_is_one_line(ready: Place) -> None:
    done = ready.orch("sweep", "sweep.yaml", "--address", "127.0.0.1:1", code=2)
    assert "no Ray at 127.0.0.1:1: Connection refused" in done.stderr


@pytest.mark.parametrize(("device", "says"), [("foo", "no such device"), ("cuda:77", "torch finds no GPU")])
def test_a_device_that_is_not_there_is_a_usage_error(place: Place, device: str, says: str) -> None:
    if device != "foo" and Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    words = ("trial", "sweep.yaml", "EMA · regular", "--device", device)
    assert says in place.orch(*words, code=2).stderr


def test_a_port_that_is_taken_is_one_line(swept: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} is taken" in swept.orch("ui", "--port", str(port), code=2).stderr


def test_a_home_that_is_a_file_is_refused(place: Place) -> None:
    (place.folder / "file").write_text("x", encoding="utf-8")
    assert "not a folder" in place.orch("status", "sweep.yaml", "--home", "file", code=2).stderr


def test_a_failed_expectation_is_exit_code_5_only_when_asked(ready: Place) -> None:
    ready.write(
        "version: 1\nname: x\n"
        "base: {trainer: modes, records: 2, time: 50, x: {of: p0, low: 0.5, high: 0.6, points: 2}}\n"
        "axes: {a: {path: alpha_p, values: [1.0, 2.0]}}\n"
        "tables: [{name: t, rows: a, metric: modes/s, digits: 3, expected: rising}]\n"
    )
    ready.orch("sweep", "sweep.yaml", "--executor", "serial")
    told = ready.orch("table", "sweep.yaml", "--check", code=5).stdout
    assert "theory: rising down the rows; ours does not (1 to 2, -" in told


def test_help_says_which_variables_and_defaults_there_are(place: Place) -> None:
    shown = " ".join(place.orch("sweep", "--help", COLUMNS="200").stdout.split())
    for variable in ("ORCH_HOME", "MLFLOW_TRACKING_URI", "ORCH_DATA", "ORCH_CHECKPOINTS", "RAY_ADDRESS"):
        assert variable in shown


@pytest.mark.slow
def test_a_first_sweep_that_is_killed_while_it_makes_its_store_is_simply_typed_again(place: Place) -> None:
    command = typed("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1")
    home = place.folder / "runs"
    with subprocess.Popen(command, cwd=place.folder, stderr=subprocess.DEVNULL) as driver:
        while not any(home.glob(".mlflow.db*.part")):
            assert driver.poll() is None
            time.sleep(0.005)
        driver.kill()
    assert not (home / "mlflow.db").exists()
    place.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1", "--quiet")
    assert not any(home.glob(".mlflow.db*.part*"))


@pytest.mark.slow
def test_sigterm_before_anything_runs_is_a_line_and_130(place: Place) -> None:
    command = typed("sweep", "sweep.yaml", "--executor", "serial")
    with subprocess.Popen(command, cwd=place.folder, stderr=subprocess.PIPE, text=True) as driver:
        while not any((place.folder / "runs").glob(".mlflow.db*.part")):
            time.sleep(0.005)
        driver.terminate()
        assert driver.stderr is not None
        said = driver.stderr.read()
        assert driver.wait(timeout=60) == 130
    assert "Traceback" not in said


def test_a_submitted_sweep_without_a_home_is_refused_in_its_log(place: Place) -> None:
    said = place.orch("plan", "sweep.yaml", code=2, ORCH_SUBMITTED="1").stderr
    assert "set ORCH_HOME" in said
    assert "8 will run" in place.orch("plan", "sweep.yaml", ORCH_SUBMITTED="1", ORCH_HOME="here").stdout


@pytest.mark.slow
def test_an_address_of_a_web_page_is_refused_at_once(place: Place) -> None:
    class Page(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """A server's log is not the command's."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        words = ("sweep", "sweep.yaml", "--address")
        assert "expected the head's own port" in place.orch(*words, address, code=2).stderr
        assert "expected HOST:PORT" in place.orch(*words, f"http://{address}", code=2).stderr
        server.shutdown()
