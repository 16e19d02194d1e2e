"""Run the command line as ``python -m mftgit``."""

from mftgit.cli.main import main

if __name__ == "__main__":
    main()
