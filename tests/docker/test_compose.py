"""The cluster of docker/compose.yaml, from nothing to a table, with a worker and the tracker killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import textwrap
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import Sweep
from orchestrator.language.yaml_text import written as as_yaml
from orchestrator.recording.workspace import workspace
from tests.builders import TINY, table_yaml, yaml
from tests.docker.engine import ROOT, Engine, engine, make_images
from tests.place import FIGURES, Place
from tests.plugged import METHOD, written
from tests.scripted import REPORTING
from tests.scripted import SWEEP as SCRIPTED
from trainers.attempt.source import foreign_digests

NEEDED = ("dockerd", "debootstrap")
pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, NEEDED)),
        reason=f"needs root and {' and '.join(NEEDED)}",
    ),
]
KEPT = Path(os.environ.get("ORCH_TEST_DOCKER", "/var/tmp/orch-test-docker"))
PORTS = {"ORCH_MLFLOW_PORT": "35000", "ORCH_DASHBOARD_PORT": "38265"}


class Cluster:
    """The services of the compose file, under names and ports of the tests' own."""

    def __init__(self, docker: Engine, folder: Path) -> None:
        self.docker, self.folder = docker, folder
        shutil.copytree(ROOT / "docker", folder / "docker", ignore=shutil.ignore_patterns("secrets.d"))
        self.sweeps = folder / "sweeps"
        self.sweeps.mkdir()
        self.settings = PORTS | {
            "ORCH_IMAGE": "orch-test",
            "POSTGRES_IMAGE": "orch-test-postgres",
            "ORCH_SWEEPS": str(self.sweeps),
            "ORCH_WORKER_CPUS": "1",
            "ORCH_SHM": "512mb",
        }
        subprocess.run([str(folder / "docker" / "secrets")], check=True, capture_output=True)

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        file = str(self.folder / "docker" / "compose.yaml")
        return self.docker.compose("-p", "orch-test", "-f", file, *words, check=check, **self.settings)

    def orch(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self("run", "--rm", "-T", "orch", *words, check=check)

    def secret(self, name: str) -> str:
        return (self.folder / "docker" / "secrets.d" / name).read_text(encoding="utf-8")

    def containers(self, service: str) -> list[str]:
        return self("ps", "-q", service).stdout.split()

    def wait(self, services: dict[str, int]) -> None:
        """Until so many containers of each service are healthy."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            states = {
                service: [
                    self.docker("inspect", "-f", "{{.State.Health.Status}}", one).stdout.strip()
                    for one in self.containers(service)
                ]
                for service in services
            }
            if all(states[service] == ["healthy"] * number for service, number in services.items()):
                return
            time.sleep(3)
        raise AssertionError(f"{states}\n{self('logs', '--tail', '40').stdout}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with engine(KEPT) as docker:
        make_images(docker, KEPT)
        made = Cluster(docker, tmp_path_factory.mktemp("cluster"))
        try:
            made("up", "-d", "--no-build", "--scale", "worker=2", "mlflow", "head", "worker")
            made.wait({"postgres": 1, "mlflow": 1, "head": 1, "worker": 2})
            yield made
        finally:
            made("down", "--volumes", "--remove-orphans", check=False)


def get(address: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_pages_want_their_secrets_and_other_hosts_are_refused(cluster: Cluster) -> None:
    mlflow = f"http://127.0.0.1:{PORTS['ORCH_MLFLOW_PORT']}/api/2.0/mlflow/experiments/search?max_results=1"
    password = b64encode(f"orch:{cluster.secret('mlflow_password')}".encode()).decode()
    assert get(mlflow) == 401
    assert get(mlflow, Authorization=f"Basic {password}") == 200
    assert get(mlflow, Authorization=f"Basic {password}", Host="evil.example") == 403
    dashboard = f"http://127.0.0.1:{PORTS['ORCH_DASHBOARD_PORT']}/api/jobs/"
    assert get(dashboard) in (401, 403)
    assert get(dashboard, Authorization=f"Bearer {cluster.secret('ray_token')}") == 200


def test_no_secret_is_in_the_image_or_in_a_log_and_nobody_is_root(cluster: Cluster) -> None:
    history = cluster.docker("history", "--no-trunc", "orch-test").stdout
    logs = cluster("logs").stdout
    described = "".join(
        cluster.docker("inspect", one).stdout
        for service in ("mlflow", "head", "worker")
        for one in cluster.containers(service)
    )
    for name in ("ray_token", "postgres_password", "mlflow_password", "mlflow_key"):
        assert cluster.secret(name) not in history + logs + described, name
    for service in ("mlflow", "head", "worker"):
        assert cluster("exec", "-T", service, "id", "-u").stdout.strip() == "1000"
    ports = re.findall(r'"HostIp": "([^"]*)"', described)
    assert ports and set(ports) == {"127.0.0.1"}


def test_a_shell_in_the_image_finds_ray_as_a_login_shell_too(cluster: Cluster) -> None:
    for shell in (["-c"], ["-lc"]):
        done = cluster("exec", "-T", "head", "bash", *shell, "command -v ray orch")
        assert done.stdout.split() == ["/opt/orch/bin/ray", "/opt/orch/bin/orch"]


def test_a_worker_and_the_tracker_are_killed_and_the_table_is_that_of_an_undisturbed_run(
    cluster: Cluster, tmp_path: Path
) -> None:
    text = table_yaml().replace("epochs: 2\n  probe", "epochs: 80\n  probe") + FIGURES
    (cluster.sweeps / "tiny.yaml").write_text(text, encoding="utf-8")
    file = str(cluster.folder / "docker" / "compose.yaml")
    command = [*cluster.docker.compose_command, "-p", "orch-test", "-f", file]
    with (
        (tmp_path / "errors").open("wb") as errors,
        subprocess.Popen(
            [*command, "run", "--rm", "-T", "orch", "sweep", "sweeps/tiny.yaml", "--json"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=cluster.docker.environment | cluster.settings,
        ) as driver,
    ):
        assert driver.stdout is not None
        workers, attempts, killed, tables = set(), [], False, []
        for line in driver.stdout:
            if not line.startswith("{"):
                continue
            event = json.loads(line)
            if event["event"] == "started":
                workers.add(event["worker"].rpartition(":")[0])
                attempts.append(event["attempt"])
            if event["event"] == "table":
                tables.append(event)
            if event["event"] == "progressed" and len(workers) == 2 and event["epoch"] > 3 and not killed:
                killed = True
                cluster.docker("kill", cluster.containers("worker")[0])
                cluster.docker("kill", cluster.containers("mlflow")[0])
                again = time.monotonic() + 20
            if killed and again and time.monotonic() > again:
                again = 0.0
                cluster.docker("start", *cluster("ps", "-aq", "mlflow").stdout.split())
        assert driver.wait(timeout=300) in (0, 4), (tmp_path / "errors").read_text()
    assert killed and max(attempts) > 1
    cluster.wait({"mlflow": 1})
    cluster.orch("sync")
    ours = cluster.orch("table", "sweeps/tiny.yaml").stdout
    undisturbed = Place(tmp_path)
    undisturbed.write(text)
    undisturbed.orch("sweep", "sweep.yaml", "--executor", "serial")
    assert ours == undisturbed.orch("table", "sweep.yaml").stdout
    again_run = cluster.orch("sweep", "sweeps/tiny.yaml")
    assert "nothing to do" in again_run.stderr


def test_a_sweep_that_is_submitted_runs_without_the_one_who_did(cluster: Cluster) -> None:
    (cluster.sweeps / "sent.yaml").write_text(table_yaml().replace("tiny", "sent"), encoding="utf-8")
    told = cluster.orch("submit", "sweeps/sent.yaml", "--address", "http://head:8265", "--seeds", "1").stdout
    assert "submitted as orch-sent-" in told
    deadline = time.monotonic() + 240
    while "4 completed" not in (seen := cluster.orch("status", "sweeps/sent.yaml", "--seeds", "1").stdout):
        assert time.monotonic() < deadline, seen
        time.sleep(5)


def test_a_wrong_password_is_one_line(cluster: Cluster) -> None:
    done = cluster(
        "run", "--rm", "-T", "-e", "MLFLOW_TRACKING_PASSWORD=wrong", "orch", "plan", "sweeps/sent.yaml",
        check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("orch: ") and "password" in line]


@pytest.mark.filterwarnings("default")  # MLflow warns about itself
def test_code_of_ones_own_is_submitted_and_each_trial_says_which_ran_where(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(cluster.sweeps, mine=METHOD, train=textwrap.dedent(REPORTING))
    own = yaml(TINY, "seeds: 2\n").replace("{name: byol, predictor: {hidden: 16}}", "mine")
    files = {
        "own": f"plugins: [./mine.py]\n{own.replace('name: tiny', 'name: own')}",
        "scripted": as_yaml(SCRIPTED),
    }
    for name, text in files.items():
        (cluster.sweeps / f"{name}.yaml").write_text(text, encoding="utf-8")
        told = cluster.orch("submit", f"sweeps/{name}.yaml", "--address", "http://head:8265").stdout
        assert f"submitted as orch-{name}-" in told
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "orch")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", cluster.secret("mlflow_password"))
    store = workspace(tmp_path, f"http://127.0.0.1:{PORTS['ORCH_MLFLOW_PORT']}", None).open_store()
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    there = cluster.docker("inspect", "-f", address, *cluster.containers("worker")).stdout.split()
    deadline = time.monotonic() + 300
    for name, codes in (("own", {"methods/mine"}), ("scripted", {"train.py"})):
        trials = Sweep.load(cluster.sweeps / f"{name}.yaml").trials
        ids = [trial.id for trial in trials]
        while not all(one in (seen := store.records(ids)) and seen[one].is_done for one in ids):
            assert time.monotonic() < deadline, f"{seen}\n{cluster('logs', '--tail', '40', 'head').stdout}"
            time.sleep(5)
        for trial in trials:
            digests, record = foreign_digests(trial.config), seen[trial.id]
            assert digests.keys() == codes and digests.items() <= record.source.items()
            assert str(record.worker).rpartition(":")[0] in there
    written(cluster.sweeps, mine=METHOD.replace("hat: float = 1.0", "hat: float = 2.0"))
    edited = cluster.orch("plan", "sweeps/own.yaml").stdout
    assert "2 will run, 0 done, methods/mine changed since 2 trials" in edited
