"""A cluster of three hosts: nodes that die, differ, do not let one in, or share nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from orchestrator import Sweep
from orchestrator.language.yaml_text import written as as_yaml
from orchestrator.recording.workspace import workspace
from tests.builders import TINY, table_yaml, yaml
from tests.cluster.hosts import Host, hosts
from tests.place import FIGURES, Place, typed
from tests.plugged import METHOD, written
from tests.scripted import REPORTING, script
from tests.scripted import SWEEP as SCRIPTED
from tests.storage import settings
from trainers.attempt.source import foreign_digests

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2"),
]
ROOT = Path(__file__).parents[2]
TOKEN = "f" * 64
SWEEP = ("sweep", "sweep.yaml")
SERVER = """
import os, time, boto3
from moto.server import ThreadedMotoServer
host, port = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://").split(":")
ThreadedMotoServer(ip_address=host, port=int(port), verbose=False).start()
boto3.client("s3").create_bucket(Bucket="bucket")
print("ready", flush=True)
time.sleep(600)
"""


class Cluster(NamedTuple):
    """A driver's host, which is Ray's head and trains nothing, and two that train."""

    driver: Host
    workers: list[Host]
    environment: dict[str, str]
    """Settings of the driver."""

    @property
    def address(self) -> str:
        return f"{self.driver.address}:6379"

    def orch(self, place: Place, *words: str, code: int = 0, **environment: str) -> str:
        done = self.driver.run(
            *typed(*words), "--address", self.address,
            environment=self.environment | environment, cwd=place.folder,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr


def start(made: list[Host], environment: dict[str, str], *, workers: list[dict[str, str]]) -> Cluster:
    driver, *others = made
    driver.ray("--head", f"--node-ip-address={driver.address}", "--port=6379", "--num-cpus=0",
               "--include-dashboard=false", environment=environment)  # fmt: skip
    cluster = Cluster(driver, others, environment)
    for host, own in zip(others, workers, strict=True):
        host.ray(f"--address={cluster.address}", f"--node-ip-address={host.address}", "--num-cpus=1",
                 environment=environment | own)  # fmt: skip
    return cluster


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Host]]:
    with hosts(3, tmp_path / "hosts") as made:
        yield made


@pytest.fixture
def environment() -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}


LONG = table_yaml().replace("epochs: 2\n  probe", "epochs: 60\n  probe") + FIGURES


def trained_though_a_node_dies(cluster: Cluster, place: Place, *words: str) -> list[dict[str, Any]]:
    """The events of a sweep in which one of two nodes dies when it has trained an epoch, and what follows."""
    command = typed(*SWEEP, "--json", "--address", cluster.address, *words)
    seen: list[dict[str, Any]] = []
    workers: dict[str, str] = {}
    victim, survivor = cluster.workers
    with cluster.driver.start(*command, environment=cluster.environment, cwd=place.folder) as driver:
        assert driver.stdout is not None
        for line in driver.stdout:
            if not line.startswith("{"):
                continue  # Ray's own word on a lost node
            event = json.loads(line)
            seen.append(event)
            if event["event"] == "started":
                workers[event["trial"]] = event["worker"]
            # What was told of an epoch is in a checkpoint.
            trained = event["event"] == "progressed" and event["epoch"] > 0
            if trained and victim.address in workers[event["trial"]] and victim.alive:
                assert victim.kill()
        assert driver.wait(timeout=60) == 0, seen[-5:]
    again = [event for event in seen if event["event"] == "started" and event["attempt"] > 1]
    assert again and all(survivor.address in event["worker"] for event in again)
    return seen


@contextlib.contextmanager
def served(host: Host, folder: Path) -> Iterator[None]:
    """Inside, a server of that host speaks as S3 does."""
    own = settings(f"http://{host.address}:5000")
    words = (sys.executable, "-W", "ignore", "-c", SERVER)
    with host.start(*words, environment=own, cwd=folder) as server:
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
        yield
        server.kill()


def undisturbed_table(folder: Path) -> str:
    undisturbed = Place(folder)
    undisturbed.write(LONG)
    undisturbed.orch(*SWEEP, "--executor", "serial")
    return undisturbed.orch("table", "sweep.yaml").stdout


def test_a_node_that_dies_costs_no_trial_and_changes_no_number(
    three: list[Host], environment: dict[str, str], ready: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ready.write(LONG)
    cluster = start(three, environment, workers=[{}, {}])
    seen = trained_though_a_node_dies(cluster, ready)
    assert [event for event in seen if event["event"] == "progressed" and event["replayed"]]
    table = undisturbed_table(tmp_path_factory.mktemp("undisturbed"))
    assert ready.orch("table", "sweep.yaml").stdout == table


@pytest.mark.parametrize("kept", ["on S3", "by each node"])
def test_without_a_shared_folder_a_trial_goes_on_from_s3_or_starts_anew_and_says_so(
    three: list[Host],
    environment: dict[str, str],
    ready: Place,
    tmp_path_factory: pytest.TempPathFactory,
    kept: str,
) -> None:
    ready.write(LONG)
    driver = three[0]
    for host in three[1:]:
        host.private.append(ready.folder)
    words: tuple[str, ...] = ()
    if kept == "on S3":
        own = settings(f"http://{driver.address}:5000")
        environment |= own
        words = ("--checkpoints", "s3://bucket/prefix")
    with served(driver, ready.folder) if kept == "on S3" else contextlib.nullcontext():
        cluster = start(three, environment, workers=[{}, {}])
        seen = trained_though_a_node_dies(cluster, ready, *words)
    replayed = [event for event in seen if event["event"] == "progressed" and event["replayed"]]
    logs = "".join(path.read_text() for path in (ready.folder / "runs" / "logs").iterdir())
    assert bool(replayed) == (kept == "on S3")
    assert ("starts anew on" in logs) == (kept == "by each node")
    assert ("in s3://bucket/prefix/" in logs) == (kept == "on S3")
    table = undisturbed_table(tmp_path_factory.mktemp("undisturbed"))
    assert ready.orch("table", "sweep.yaml").stdout == table


def test_nodes_that_do_not_reach_the_drivers_s3_are_told_before_training(
    three: list[Host], environment: dict[str, str], ready: Place
) -> None:
    driver = three[0]
    own = settings(f"http://{driver.address}:5000")
    wrong = settings(f"http://{driver.address}:5001") | {"AWS_MAX_ATTEMPTS": "1"}
    with served(driver, ready.folder):
        cluster = start(three, environment, workers=[own, wrong])
        told = cluster.orch(ready, *SWEEP, "--checkpoints", "s3://bucket/prefix", code=2, **own)
    address = re.escape(cluster.workers[1].address)
    assert re.search(rf"node \S* ?\(?{address}\)? cannot keep checkpoints: .* does not answer", told)
    assert cluster.workers[0].address not in told and "[1/" not in told


def test_a_folder_that_workers_do_not_see_is_told_before_training(
    three: list[Host], environment: dict[str, str], ready: Place
) -> None:
    for host in three[1:]:
        host.private.append(ready.folder)
    cluster = start(three, environment, workers=[{}, {}])
    told = cluster.orch(ready, *SWEEP, "--seeds", "1")
    lines = [line for line in told.splitlines() if "starts anew" in line]
    assert len(lines) == 1 and all(host.address in lines[0] for host in cluster.workers)
    assert told.index(lines[0]) < told.index("[1/4]")


@pytest.mark.parametrize(
    "token", [{"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""}, {"RAY_AUTH_TOKEN": "0" * 64}]
)
def test_a_driver_without_the_clusters_token_is_told_so_in_one_line(
    three: list[Host], environment: dict[str, str], ready: Place, token: dict[str, str]
) -> None:
    cluster = start(three[:1], environment, workers=[])
    told = cluster.orch(ready, *SWEEP, code=2, **token)
    assert "wants a token, and this driver has none or another" in told
    assert TOKEN not in told
    after = told[told.index("joining Ray") :].splitlines()[1:]  # slow steps before it may have said lines
    assert len(after) == 1, told


def test_a_node_with_other_code_is_refused_unless_the_drivers_is_sent(
    three: list[Host], environment: dict[str, str], ready: Place, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    for package in ("orchestrator", "trainers"):
        shutil.copytree(ROOT / package, other / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "trainers" / "probe.py").open("a", encoding="utf-8") as file:
        file.write("# another version\n")
    cluster = start(three, environment, workers=[{}, {"PYTHONPATH": str(other)}])
    told = cluster.orch(ready, *SWEEP, code=2)
    assert "runs other code of orch" in told and cluster.workers[1].address in told
    assert cluster.workers[0].address not in told and "[1/" not in told
    shipped = cluster.orch(ready, *SWEEP, "--seeds", "1", "--ship-code")
    assert shipped.count(": completed") + shipped.count(": collapsed") == 4


OWN = yaml(TINY, "seeds: 2\n").replace("{name: byol, predictor: {hidden: 16}}", "mine")
"""A sweep of a method that is not orch's."""


def test_code_of_ones_own_comes_to_nodes_that_do_not_see_it_and_each_trial_says_which_ran_where(
    three: list[Host], environment: dict[str, str], ready: Place
) -> None:
    for host in three[1:]:
        host.private.append(ready.folder)
    written(ready.folder, mine=METHOD)
    ready.write(f"plugins: [./mine.py]\n{OWN}")
    script(REPORTING)
    ready.write(as_yaml(SCRIPTED), "script.yaml")
    cluster = start(three, environment, workers=[{}, {}])
    store = workspace(ready.folder / "runs", None, None).open_store()
    for name, codes in (("sweep.yaml", {"methods/mine"}), ("script.yaml", {"train.py"})):
        cluster.orch(ready, "sweep", name)
        trials = Sweep.load(ready.folder / name).trials
        records = store.records([trial.id for trial in trials])
        assert len(records) == len(trials) and all(record.is_done for record in records.values())
        for trial in trials:
            digests, record = foreign_digests(trial.config), records[trial.id]
            assert digests.keys() == codes and digests.items() <= record.source.items()
            assert str(record.worker).rpartition(":")[0] in {host.address for host in cluster.workers}


def test_a_node_where_a_plug_in_is_other_code_is_refused_before_training(
    three: list[Host], environment: dict[str, str], ready: Place, tmp_path: Path
) -> None:
    for name, height in (("same", "1.0"), ("other", "2.0")):
        written(tmp_path / name, worn=METHOD.replace("hat: float = 1.0", f"hat: float = {height}"))
    ready.write(f"plugins: [worn]\n{OWN}")
    environment |= {"PYTHONPATH": str(tmp_path / "same")}
    cluster = start(three, environment, workers=[{}, {"PYTHONPATH": str(tmp_path / "other")}])
    told = cluster.orch(ready, *SWEEP, code=2)
    address = re.escape(cluster.workers[1].address)
    differs = r"plug-in worn: is \w+ here and \w+ where the sweep was started; install the same everywhere"
    assert re.search(rf"node \S*( \()?{address}\)?: {differs}", told), told
    assert cluster.workers[0].address not in told and "[1/" not in told


def test_data_that_a_node_does_not_have_is_told_before_training(
    three: list[Host], environment: dict[str, str], ready: Place
) -> None:
    cluster = start(three, environment, workers=[{}, {}])
    told = cluster.orch(ready, *SWEEP, "--set", "data=cifar10", code=2)
    for host in cluster.workers:
        assert re.search(rf"node .*{host.address}.*cifar10: not found", told)


def test_more_than_any_node_has_is_told_before_training(
    three: list[Host], environment: dict[str, str], ready: Place
) -> None:
    cluster = start(three, environment, workers=[{}, {}])
    for asked, told in {
        "{gpus: 0.5}": "asks for 0.5 GPUs, where the largest node has 0 GPUs",
        "{cpus: 2}": "asks for 2 CPUs, where the largest node has 1 CPU",
        "{custom: {big: 1}}": "asks for 1 big, where the largest node has 0 big",
    }.items():
        ready.write(table_yaml() + f"resources: {asked}\n")
        begun = time.monotonic()
        assert told in cluster.orch(ready, *SWEEP, code=2)
        assert time.monotonic() - begun < 120
