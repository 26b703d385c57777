"""Training code of orch: configs, methods, encoders, data sets and the loops that train them.

This package has never heard of a sweep, of Ray or of MLflow: `orchestrator` imports it, not the reverse.
"""
