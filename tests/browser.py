"""What a real browser makes of a page."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def seen(address: str, profile: Path, *, width: int = 1900, until: str = "") -> str:
    """The page as the browser has it after its scripts ran; up to five looks, until it says `until`."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "no Chromium on this machine; apt-get install chromium"
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom",
        f"--window-size={width},1000", address,  # lists leave out columns that do not fit
    ]  # fmt: skip
    page = ""
    for _ in range(5):  # the first look may come before everything is drawn
        page = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        if until in page:
            break
    return page
