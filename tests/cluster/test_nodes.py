"""A cluster of three hosts: nodes that die, differ, do not let one in, or share nothing."""

from __future__ import annotations

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

from tests.builders import table_yaml
from tests.cluster.hosts import Host, hosts
from tests.place import FIGURES, Place

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2"),
]
ROOT = Path(__file__).parents[2]
TOKEN = "f" * 64
SWEEP = ("sweep", "sweep.yaml")
ADDRESS = re.compile(r"10\.213\.77\.\d+")


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
            sys.executable, "-m", "orchestrator.cli", *words, "--address", self.address,
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


def test_a_node_that_dies_costs_no_trial_and_changes_no_number(
    three: list[Host], environment: dict[str, str], ready: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = table_yaml().replace("epochs: 2\n  probe", "epochs: 60\n  probe") + FIGURES
    ready.write(text)
    cluster = start(three, environment, workers=[{}, {}])
    command = [sys.executable, "-m", "orchestrator.cli", *SWEEP, "--json", "--address", cluster.address]
    seen: list[dict[str, Any]] = []
    trained_on: set[str] = set()
    victim = cluster.workers[0]
    with cluster.driver.start(*command, environment=environment, cwd=ready.folder) as driver:
        assert driver.stdout is not None
        for line in driver.stdout:
            if not line.startswith("{"):
                continue  # Ray's own word on a lost node
            event = json.loads(line)
            seen.append(event)
            if event["event"] == "started":
                trained_on |= set(ADDRESS.findall(event["worker"]))
            if event["event"] == "progressed" and len(trained_on) == 2 and victim.alive:
                assert victim.kill()
        assert driver.wait(timeout=60) == 0, seen[-5:]
    assert trained_on == {host.address for host in cluster.workers}
    again = [event for event in seen if event["event"] == "started" and event["attempt"] > 1]
    assert again and all(cluster.workers[1].address in event["worker"] for event in again)
    assert [event for event in seen if event["event"] == "progressed" and event["replayed"]]
    undisturbed = Place(tmp_path_factory.mktemp("undisturbed"))
    undisturbed.write(text)
    undisturbed.orch(*SWEEP, "--executor", "serial")
    assert ready.orch("table", "sweep.yaml").stdout == undisturbed.orch("table", "sweep.yaml").stdout


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
    assert TOKEN not in told and len(told.splitlines()) <= 3, told


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
