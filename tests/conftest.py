"""Fixtures for every test: where the real clips are."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real clips named by $VTDL_TEST_DATA; tests that need it skip where it is absent."""
    folder = os.environ.get("VTDL_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real clips: set VTDL_TEST_DATA to their folder")
    return Path(folder)
