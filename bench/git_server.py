"""The controller's git side beside `git http-backend` behind nginx: ``python bench/git_server.py [--quick]``.

The same as ``python bench/run.py git_load``.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.argv.insert(1, "git_load")
    runpy.run_path(str(Path(__file__).with_name("run.py")), run_name="__main__")
