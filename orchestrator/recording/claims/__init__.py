"""Which driver trains which trial."""
