"""Trials on Ray; all but `address` is imported by the child process and by workers only."""
