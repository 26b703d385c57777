"""Every test starts without the user's settings and cannot write outside its own folder."""

from __future__ import annotations

import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.process import command
from tests.place import Place, own_signals
from tests.storage import Storage, served
from trainers.attempt.folders import S3Folder
from trainers.config import foreign

# Who starts tests in the background may have them ignore Ctrl-C and hang-ups, and their children, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

_SETTINGS = ("ORCH_HOME", "ORCH_DATA", "ORCH_CHECKPOINTS", "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "COLUMNS")

for _name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[_name]
# Without credentials a client looks for them in its user's files, and asks the network of a cloud's machines.
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def signals_put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that ends in this process leaves handlers that end it, too, at a later test's signal."""
    monkeypatch.setattr(command, "_typed", False)
    with own_signals():
        yield


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    """Names that a sweep of one test has brought are no other test's."""
    with foreign.knowing({}):
        yield
    foreign._anywhere.clear()
    foreign.installed.cache_clear()


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store to copy; making one takes seconds."""
    from orchestrator.recording.mlflow.store import MlflowStore

    folder = tmp_path_factory.mktemp("store")
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # MLflow and SQLAlchemy warn about themselves
        MlflowStore(f"sqlite:///{folder / 'mlflow.db'}", artifacts=folder)
    return folder / "mlflow.db"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def ready(place: Place, database: Path) -> Place:
    """A place whose store is made, and empty: making it takes longer than a tiny sweep."""
    (place.folder / "runs").mkdir()
    shutil.copy(database, place.folder / "runs")
    return place


@pytest.fixture(scope="session")
def storage() -> Iterator[Storage]:
    """A server on this machine that speaks as S3 does."""
    with served() as storage:
        yield storage


@pytest.fixture
def s3(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Folder]:
    """A folder in a new bucket, which this process and those it starts may use."""
    for name, value in storage.settings.items():
        monkeypatch.setenv(name, value)
    with storage.forgotten():
        yield S3Folder(storage.new_bucket(), "checkpoints")
