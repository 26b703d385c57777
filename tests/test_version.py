"""A release's tag is its version, which stands in one place."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator import __version__

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="no git here")
def test_a_tag_of_a_version_on_this_commit_is_the_version() -> None:
    words = ("git", "-C", str(ROOT), "tag", "--points-at", "HEAD", "v[0-9]*")
    tags = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert set(tags) <= {f"v{__version__}"}, "raise __version__ in orchestrator/__init__.py, then tag"
