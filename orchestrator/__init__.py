"""orch: typed experiment sweeps for self-supervised learning, from a YAML file to the ablation table."""

__version__ = "0.1.0"
