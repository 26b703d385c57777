"""Every test starts without the user's settings and cannot write outside its own folder."""

from __future__ import annotations

import signal
import warnings
from pathlib import Path

import pytest

# A shell that starts tests in the background has them ignore Ctrl-C, and what they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_SETTINGS = ("ORCH_HOME", "ORCH_DATA", "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "COLUMNS")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store to copy; making one takes seconds."""
    from orchestrator.adapters.mlflow_store import MlflowStore

    folder = tmp_path_factory.mktemp("store")
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # MLflow and SQLAlchemy warn about themselves
        MlflowStore(f"sqlite:///{folder / 'mlflow.db'}", artifacts=folder)
    return folder / "mlflow.db"
