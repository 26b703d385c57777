"""Others' runs: read from where they lie, and told which cell and seed of a sweep each of them is."""
