"""What `orch init` writes: a sweep, a method of one's own and a word on both."""
