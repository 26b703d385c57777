"""A driver and its child process: the protocol, and both ends of it."""
