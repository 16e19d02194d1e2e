"""Run the command line, as ``mftgit`` or ``python -m mftgit``."""

import signal


def main() -> None:
    """Load the verbs, which takes half a second, and run the one that was named; exit with its code.

    Until they are loaded, Ctrl-C ends the process at once: Python's own way may be swallowed by what is being loaded.
    """
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mftgit.cli.main import main as run  # noqa: PLC0415

    signal.signal(signal.SIGINT, interrupted)
    run()


if __name__ == "__main__":
    main()
