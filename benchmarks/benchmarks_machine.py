"""The line that stands above every measured figure: hardware and versions."""

from __future__ import annotations

from orchestrator.process.provenance import provenance


def machine() -> str:
    """Processor, cores, GPUs and package versions in one line."""
    made = provenance()
    hardware = ", ".join(
        str(made.hardware[key]) for key in ("processor", "cores", "gpus") if made.hardware[key]
    )
    packages = ", ".join(f"{name} {version}" for name, version in made.packages.items())
    return f"{hardware} cores; {packages}; orch {made.code_version}"
