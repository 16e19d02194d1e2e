"""The ports of tests that run side by side."""

import subprocess
import sys
from pathlib import Path

from ports import own_port

_TAKE = "import ports, sys; sys.exit(0 if ports._mark(int(sys.argv[1])) else 3)"


def takes(port: int) -> bool:
    """Tell whether a test in another process would be given ``port``."""
    words = [sys.executable, "-c", _TAKE, str(port)]
    done = subprocess.run(words, cwd=Path(__file__).parents[1] / "support", check=False)
    assert done.returncode in {0, 3}
    return done.returncode == 0


def test_a_port_is_nobody_else_s_while_a_test_has_it_though_nothing_listens() -> None:
    with own_port() as port:
        assert not takes(port)
    assert takes(port)
