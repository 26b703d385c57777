"""What a command's exit code says."""

# 1 is Python's own, for an error that nobody foresaw.
COMPLETE, USAGE, FAILED, STOPPED, OUTSIDE, INTERRUPTED = 0, 2, 3, 4, 5, 130
