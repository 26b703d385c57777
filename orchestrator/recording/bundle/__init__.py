"""A bundle: results of sweeps in one file, read without the store that they come from."""
