"""What every plug-in of a family promises, as checks: `orch check-plugin` and the tests run the same."""
