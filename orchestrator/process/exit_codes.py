"""What a command's exit code says."""

# 1 is Python's own, for what breaks before or after a command; what breaks in one is STOPPED.
COMPLETE, USAGE, FAILED, STOPPED, OUTSIDE, INTERRUPTED = 0, 2, 3, 4, 5, 130
