"""What every config is, and how parts are found by name."""
