"""This process and this machine: signals, streams, folders that may be forgotten, exit codes."""
