"""What measurements need: hardware and versions, how much the machine works, another checkout's code."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from orchestrator.process.provenance import provenance


def machine() -> str:
    """Processor, cores, GPUs and package versions in one line."""
    made = provenance()
    hardware = ", ".join(
        str(made.hardware[key]) for key in ("processor", "cores", "gpus") if made.hardware[key]
    )
    packages = ", ".join(f"{name} {version}" for name, version in made.packages.items())
    return f"{hardware} cores; {packages}; orch {made.code_version}"


ROOT = Path(__file__).resolve().parents[1]


def add_beside(parser: argparse.ArgumentParser) -> None:
    """Let a person name another checkout of orch, to be measured in turns with this one."""
    parser.add_argument("--beside", type=_checkout, help="another checkout of orch")


def _checkout(text: str) -> Path:
    if not (Path(text) / "orchestrator").is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no checkout of orch; name a folder that has orchestrator/")
    return Path(text).resolve()


def positive(text: str) -> int:
    """A whole number above zero, as an argument."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number above zero")
    return int(text)


def sides(asked: argparse.Namespace) -> list[Path]:
    """The checkouts whose code is measured, this one first."""
    return [ROOT, *([asked.beside] if asked.beside else [])]


def command(code: Path) -> list[str]:
    """The words that begin a call of `orch` with that checkout's code; `running` has its environment."""
    with (code / "pyproject.toml").open("rb") as file:
        module, name = tomllib.load(file)["project"]["scripts"]["orch"].split(":")
    begin = f"import sys; from {module} import {name}; sys.argv[0] = 'orch'; {name}()"
    return [sys.executable, "-P", "-c", begin]


def running(code: Path) -> dict[str, str]:
    """The environment in which `command` finds that checkout's code, compiled once as everybody's is."""
    own = os.environ | {"PYTHONPATH": str(code)}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    return own


def code_of(checkout: Path) -> str:
    """Its commit, or its path where it has none."""
    words = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or str(checkout)


def busy_s() -> float:
    """Seconds that the machine's processors have worked since it was started, for whomever."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")
