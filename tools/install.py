"""Make ``.venv`` and install this checkout into it: ``python3 tools/install.py [EXTRA ...]``.

Needs Python 3.11 or newer and nothing else: where the system's Python has no ensurepip (Debian without python3-venv),
pip is taken from the package index, checked against the digest that the index gives, and run from its wheel.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import venv
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv"
INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple/").rstrip("/")


def main() -> None:
    """Make the environment, or bring it up to date."""
    if sys.version_info < (3, 11):  # noqa: UP036  this runs before any packaging metadata is read
        sys.exit(f"mftgit needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    extras = f"[{','.join(sys.argv[1:])}]" if sys.argv[1:] else ""
    has_pip = find_spec("ensurepip") is not None
    if not (FOLDER / "bin" / "python").exists():
        print("making .venv", flush=True)
        venv.create(FOLDER, with_pip=has_pip, symlinks=True)
    python = str(FOLDER / "bin" / "python")
    print(f"installing mftgit{extras} into .venv (a minute or so the first time)", flush=True)
    # The constraints are what CI tests with; PIP_CONSTRAINT would leak into the build's own environment.
    install = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        str(ROOT / "constraints.txt"),
    ]
    target = str(ROOT) + extras
    if (
        subprocess.run(
            [python, "-m", "pip", "--version"], capture_output=True, check=False
        ).returncode
        == 0
    ):
        subprocess.run([python, "-m", "pip", *install, target], check=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        wheel = fetch_pip(Path(folder))
        environment = {**os.environ, "PYTHONPATH": str(wheel)}
        subprocess.run([python, "-m", "pip", *install, "pip"], check=True, env=environment)
    subprocess.run([python, "-m", "pip", *install, target], check=True)


def fetch_pip(folder: Path) -> Path:
    """Download the newest pip wheel of the index into ``folder`` (PEP 691)."""
    request = urllib.request.Request(
        f"{INDEX}/pip/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    wheels = [
        each
        for each in files
        if each["filename"].endswith("-py3-none-any.whl") and not each["yanked"]
    ]
    newest = max(wheels, key=lambda each: release(each["filename"]))
    with urllib.request.urlopen(newest["url"], timeout=60) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != newest["hashes"]["sha256"]:
        sys.exit(f"{newest['filename']} is not what the index says it is")
    path = folder / str(newest["filename"])
    path.write_bytes(content)
    return path


def release(filename: str) -> tuple[int, ...]:
    """Return the version of a pip wheel as numbers; a pre-release counts as nothing."""
    version = filename.split("-")[1]
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else (0,)


if __name__ == "__main__":
    main()
