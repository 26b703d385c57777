"""Our own module, of any encoder, also a plug-in's: the file as it was kept."""

from __future__ import annotations

from trainers.networks.kept import About


def converted(content: bytes) -> bytes:
    """The file itself, so that its digest is the one that the store has."""
    return content


def lines(about: About, file: str) -> tuple[str, str, str]:
    """Three lines of Python that load it."""
    return (
        "from orchestrator import load_encoder",
        f"encoder = load_encoder({file!r})  # in eval mode",
        f"features = encoder(images)  # [N, {about.dimension}]",
    )
