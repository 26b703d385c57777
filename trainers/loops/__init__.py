"""Training loops, one file each: a `Config` and a `fit`."""
