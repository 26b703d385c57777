"""What a real browser makes of a page."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def seen(address: str, profile: Path, *, width: int = 1900) -> str:
    """The page as the browser has it after its scripts ran."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "no Chromium on this machine; apt-get install chromium"
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom",
        f"--window-size={width},1000", address,  # lists leave out columns that do not fit
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
