"""Data sets, one file each: a `Config` and a `load` that returns `Images`."""
