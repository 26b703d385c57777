"""Optimizers, one file each: a `Config` and a `build`."""
