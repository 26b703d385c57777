"""Whether this process runs on a cluster by itself, without whoever typed the command."""

SUBMITTED = "ORCH_SUBMITTED"
"""Set in the environment of a sweep that a cluster runs by itself."""
