"""Settings, as `--set` has them typed."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import UsageError
from orchestrator.language.yaml_text import Key, parse


def settings_in(changes: list[str]) -> dict[str, Any]:
    """Settings from "path=value", values read as in a sweep file."""
    settings: dict[str, Any] = {}
    for change in changes:
        path, sign, value = change.partition("=")
        if not sign or not path.strip():
            raise UsageError(f"--set {change}: expected path=value, such as optimizer.lr=0.1")
        place = f"--set {change}"
        settings[Key(path.strip(), place)] = parse(f"value: {value}", place)["value"]
    return settings
