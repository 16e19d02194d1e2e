"""What holds for every test."""

import os
import shutil

import pytest
from browser import keep_failures
from hypothesis import HealthCheck, settings

# The same examples every time. `HYPOTHESIS_PROFILE=deep` looks further, and `few` at a quarter of them: another
# Python is given the same ones, and what is counted takes three times as long.
# How fast values are made tells of the machine.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", _PATIENT, derandomize=True, print_blob=True)
settings.register_profile("few", settings.get_profile("default"), max_examples=25)
settings.register_profile("deep", _PATIENT, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

_BESIDE_PATH = "/usr/sbin:/sbin:/usr/lib/openssh"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose outside program is missing; in CI, where nothing may be missing, fail it."""
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if shutil.which(program) or shutil.which(program, path=_BESIDE_PATH):
                continue
            reason = f"{program} is not installed; CONTRIBUTING.md says which package has it"
            if os.environ.get("CI"):
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> None:
    """Keep pictures of the browser's windows that fixtures hold open for a test that failed."""
    if call.when == "call" and call.excinfo is not None:
        keep_failures()
