"""No secret is written down: not by this program, and not by Ray for it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.commands.look import ui
from orchestrator.commands.train import trial
from orchestrator.execution.child.messages import Submit
from orchestrator.execution.child.process import Child
from orchestrator.language.resources import SweepResources, TrialResources
from orchestrator.process import provenance
from orchestrator.process.secrets import secrets_open_to_others, without_secret
from orchestrator.process.signals import stop_from_elsewhere
from orchestrator.recording.workspace import workspace
from orchestrator.rehearsal import rehearse
from tests.builders import outcome, table_yaml, trials
from tests.place import Place
from trainers.attempt.report import Outcome
from trainers.config.base import Runtime

pytestmark = pytest.mark.filterwarnings("default")  # Ray warns about itself
SECRETS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "HF_TOKEN",
    "WANDB_API_KEY",
)
CANARIES = {name: f"canary-{name.lower()}-7f3a" for name in SECRETS}


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="canary-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def holding(text: str, *folders: Path) -> list[str]:
    """Names of the files below `folders` that hold `text`."""
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes():
                found.append(str(path))
    return found


@pytest.fixture
def user(short: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own folder, which others may enter."""
    folder = short / "user"
    folder.mkdir()
    short.chmod(0o755)
    monkeypatch.setenv("HOME", str(folder))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.mark.slow
def test_no_secret_of_the_environment_is_in_anything_that_a_sweep_on_ray_writes(
    ready: Place, short: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ray's session folder is looked into before it goes.
    monkeypatch.setattr("orchestrator.process.scratch.shutil", SimpleNamespace(rmtree=lambda *_, **__: None))
    ready.write(table_yaml())
    done = ready.orch("sweep", "sweep.yaml", "--seeds", "1", RAY_TMPDIR=str(short), **CANARIES)
    assert list(short.glob("orch-*/session_2*/logs/runtime_env_agent.log")), "nothing to look into"
    for name, text in CANARIES.items():
        assert holding(text, ready.folder, short) == [], name
        assert text not in done.stdout + done.stderr
    token = user / ".ray" / "auth_token"
    assert oct(token.stat().st_mode & 0o777) == "0o600"
    assert holding(token.read_text(), ready.folder, short) == [str(token)]


def test_what_tune_sends_along_with_a_trial_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.tune.execution import class_cache

    from orchestrator.execution.ray import executor
    from orchestrator.execution.ray.listener import Listener

    names = {*class_cache.ENV_VARS_TO_PROPAGATE, *SECRETS}
    for name in names:
        monkeypatch.setenv(name, "canary")
    sent: dict[str, str] = {}

    def fit(tuner: object) -> None:
        worker = class_cache._ActorClassCache().get(type("Trainable", (), {}))
        sent.update(worker._default_options["runtime_env"]["env_vars"])

    monkeypatch.setattr(executor.tune.Tuner, "fit", fit)
    one = executor.RayExecutor(runtime=Runtime(), folder=Path("trials"), resources=SweepResources())
    asked = trials(1)
    with stop_from_elsewhere() as stop:
        listener = Listener(lambda event: None, stop, retries=0)
        listener.gpus = {asked[0].id: 0.0}
        one._fit(asked, {asked[0].id: TrialResources()}, listener, stop, str(Path.cwd()))
    assert sent and not [name for name in sent if re.search("KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL", name)]
    assert all(os.environ[name] == "canary" for name in names)  # whoever asks S3 next has them


def test_what_is_started_for_ray_is_not_given_the_webhook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_NOTIFY", "https://hooks.example.org/s3cr3t")
    monkeypatch.setenv("OTHER", "told")
    shown = "import os; print(os.environ.get('OTHER'), os.environ.get('ORCH_NOTIFY'), flush=True)"
    job = Submit(name="x", files={}, command=(), address="x")
    child = Child(job, log=tmp_path / "log", command=(sys.executable, "-I", "-S", "-c", shown))
    child.end(grace_s=30.0)
    assert (tmp_path / "log").read_text() == "told None\n"


def test_mlflows_server_is_not_given_the_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []

    def popen(command: list[str], *, env: dict[str, str]) -> None:
        given.append(env)
        raise FileNotFoundError

    monkeypatch.setenv("ORCH_NOTIFY", "https://hooks.example.org/s3cr3t")
    monkeypatch.setattr(ui.subprocess, "Popen", popen)
    monkeypatch.setattr(ui.signal, "signal", lambda *_: None)
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(FileNotFoundError):
        ui.serve(workspace(tmp_path, None, None), port=0, say=lambda line: None)
    assert "MLFLOW_BACKEND_STORE_URI" in given[0] and "ORCH_NOTIFY" not in given[0]


def test_processes_that_rehearse_are_not_given_the_webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setenv("ORCH_NOTIFY", "https://hooks.example.org/s3cr3t")
    monkeypatch.setattr(
        rehearse.forkserver, "ensure_running", lambda: seen.append("ORCH_NOTIFY" in os.environ)
    )
    rehearse._Processes()
    assert seen == [False] and "ORCH_NOTIFY" in os.environ


def test_a_trial_alone_does_not_see_the_webhook(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def run_trial(*given: object, **how: object) -> Outcome:
        seen.append("ORCH_NOTIFY" in os.environ)
        return outcome()

    monkeypatch.setattr(trial, "run_trial", run_trial)
    place.orch("trial", "sweep.yaml", "EMA · regular", ORCH_NOTIFY="https://hooks.example.org/s3cr3t")
    assert seen == [False]


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_the_token_that_ray_would_let_everybody_read_is_made_for_its_user_alone(
    user: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    from orchestrator.execution.ray import cluster

    path = user / ".ray" / "auth_token"
    found: list[tuple[int, str]] = []

    def init(**_: object) -> None:
        found.append((path.stat().st_mode & 0o777, path.read_text()))

    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    before = os.umask(umask)
    try:
        for _ in range(2):
            with cluster.joined(None):
                pass
    finally:
        os.umask(before)
    assert len(found[0][1]) == 64 and found == [(0o600, found[0][1])] * 2  # of what is there, nothing changes


def test_two_first_sweeps_at_once_have_one_token_that_is_whole_whenever_it_is_there(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.execution.ray import cluster

    path = user / ".ray" / "auth_token"
    inner: list[str] = []

    def token(size: int) -> str:
        monkeypatch.setattr(cluster.secrets, "token_hex", lambda size: "b" * 2 * size)
        cluster._make_token()  # the other sweep's, while this one makes its own
        inner.append(path.read_text())
        return "a" * 2 * size

    monkeypatch.setattr(cluster.secrets, "token_hex", token)
    cluster._make_token()
    assert inner == ["b" * 64] and path.read_text() == "b" * 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_token_is_made_where_the_file_system_has_no_links(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.execution.ray import cluster

    def refuse(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(cluster.os, "link", refuse)
    cluster._make_token()
    path = user / ".ray" / "auth_token"
    assert len(path.read_text()) == 64 and path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("part", ["=x@y", "://", "//a:", "=a:/", "--a"])
def test_a_long_word_is_looked_through_for_secrets_in_a_moment(part: str) -> None:
    begun = time.process_time()
    assert "u:pw@" not in without_secret(f"http://u:pw@host {20_000 * part}")
    assert time.process_time() - begun < 5


def test_who_joins_a_cluster_or_has_a_token_elsewhere_gets_none(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.execution.ray import cluster

    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", lambda **_: None)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    with cluster.joined("127.0.0.1:6379"):
        assert not (user / ".ray").exists()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(user / "token"))
    with cluster.joined(None):
        assert not (user / ".ray").exists()


def test_doctor_names_files_with_secrets_that_others_can_read(place: Place, user: Path) -> None:
    token = user / ".ray" / "auth_token"
    token.parent.mkdir(mode=0o755)
    token.touch(0o644)
    token.chmod(0o644)
    other = user / "other"
    other.touch()
    other.chmod(0o604)
    assert secrets_open_to_others() == [token]
    assert f"chmod 600 {token}" in place.orch("doctor", code=2).stdout
    token.parent.chmod(0o700)
    assert secrets_open_to_others() == []  # the folder keeps others out
    token.parent.chmod(0o755)
    token.chmod(0o600)
    assert "chmod" not in place.orch("doctor", RAY_AUTH_TOKEN_PATH=str(token)).stdout
    assert f"chmod 600 {other}" in place.orch("doctor", code=2, RAY_AUTH_TOKEN_PATH=str(other)).stdout


def test_programs_that_say_what_this_machine_is_are_not_told_the_webhook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORCH_NOTIFY", "https://hooks.example.org/s3cr3t")
    assert "s3cr3t" not in provenance._output("env") != ""
