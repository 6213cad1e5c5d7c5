"""Fixtures of all tests."""

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Nothing in the package draws from the global generators; a test that does starts from the same place."""
    np.random.seed(1)


@pytest.fixture
def shared_data() -> Path:
    """Real files beside the checkout; a test that needs them skips where they are not."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real files of ../shared/data, which are not here")
    return folder


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT
