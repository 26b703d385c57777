"""`orch`, as it is installed, and `python -m orchestrator`."""

import signal


def run() -> None:
    """Run the command; until it has words of its own for it, Ctrl-C just ends this process."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else who started it has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from orchestrator.commands.app import run

    run()


if __name__ == "__main__":
    run()
