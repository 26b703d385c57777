"""`python -m orchestrator`: the same as `orch`."""

from orchestrator.commands.app import run

if __name__ == "__main__":
    run()
