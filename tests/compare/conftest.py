"""A publication of a toy, made once."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compare import toys
from truthward.compare.published import Published


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The folder of a publication; nothing may be changed in it."""
    return toys.publication(tmp_path_factory.mktemp("toy"), 3)


@pytest.fixture(scope="session")
def published(folder) -> Published:
    """The same, opened."""
    return Published.open(folder)


@pytest.fixture
def random() -> np.random.Generator:
    """A generator of its own for each test."""
    return np.random.default_rng(7)
