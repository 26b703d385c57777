"""One trial from its start to its outcome: isolated, reported, with checkpoints."""
