"""Where numbers come from: code version, packages, hardware, command. Never part of an id."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from orchestrator import __version__
from orchestrator.process.command import typed_command
from orchestrator.process.secrets import passed_on
from orchestrator.records import Provenance

_PACKAGES = ("torch", "torchvision", "ray", "mlflow", "pydantic", "numpy", "scikit-learn")


@functools.cache
def provenance() -> Provenance:
    """The provenance of what this process trains and stores."""
    return Provenance(
        code_version=_code_version(),
        packages={"python": platform.python_version()} | _versions(),
        hardware={
            "host": platform.node(),
            "machine": platform.machine(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "gpus": _gpus(),
        },
        command=typed_command(),
    )


def _code_version() -> str:
    """The commit of the code that runs, "+dirty" if it has changes; the release where there is no git.

    An image has no git, but may know its commit: $ORCH_CODE_VERSION.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # installed from a wheel: not some repository it lies in
        return os.environ.get("ORCH_CODE_VERSION") or __version__
    commit = _output("git", "-C", str(root), "rev-parse", "--short=12", "HEAD")
    if not commit:
        return __version__
    changed = _output("git", "-C", str(root), "status", "--porcelain", "--", "trainers", "orchestrator")
    return f"{commit}+dirty" if changed else commit


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _gpus() -> str:
    return _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").replace("\n", ", ")


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False, env=passed_on()
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
