"""The wheel holds what the tree holds, and nothing at the top level; the sdist can be tested."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLED_AS = {
    "mftgit": "mftgit",
    "schemas": "mftgit/schemas",
    "hooks": "mftgit/hooks",
    "sample-config-repo": "mftgit/sample_config_repo",
}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", out, ROOT], check=True, capture_output=True
    )
    return out


def tree() -> set[str]:
    return {
        f"{installed}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, installed in INSTALLED_AS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_module_schema_hook_and_sample_document(artifacts: Path) -> None:
    (wheel,) = artifacts.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == tree()


def test_the_wheel_has_one_top_level_name(artifacts: Path) -> None:
    (wheel,) = artifacts.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mftgit"}


def test_the_sdist_holds_what_the_tests_need(artifacts: Path) -> None:
    (sdist,) = artifacts.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tox.ini", "setup.cfg", "constraints.txt", "tests/conftest.py"} <= names
    assert {"sample-config-repo/cluster.yaml", "tests/support/cluster.py"} <= names


def test_the_wheel_runs_where_the_checkout_is_not(artifacts: Path, tmp_path: Path) -> None:
    (wheel,) = artifacts.glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True, cwd=tmp_path)
    sample = (
        "from mftgit.resources import load_schemas, read_sample;"
        "print('transfer' in load_schemas(), 'cluster.yaml' in read_sample())"
    )
    done = subprocess.run(
        [python, "-c", sample],
        check=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.stdout == "True True\n"
    said = subprocess.run(
        [python, "-m", "mftgit", "--version"],
        check=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert said.stdout.startswith("mftgit, version ")
