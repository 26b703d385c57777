"""Evaluations of a kept encoder, one protocol each, found by name: a `Config`, `evaluate` and `METRICS`."""
