"""Fixtures of all tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.study import TARGET, Study

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


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Study:
    """A study in which all is done that comes before the unfolding, for faults."""
    study = Study.new(tmp_path_factory.mktemp("faults") / "prepared")
    study.prepare()
    return study


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory) -> dict:
    """The numbers of that study when nothing happens to it, on this machine."""
    study = prepared.fork(tmp_path_factory.mktemp("faults") / "undisturbed")
    study.run(TARGET, cores=1)
    return study.numbers()


@pytest.fixture
def assert_nothing_is_covered() -> Callable[[Any], None]:
    """A check of a figure's layout."""
    return _nothing_is_covered


def _nothing_is_covered(figure: Any) -> None:
    """What stands beside the panels neither covers them nor leaves the page."""
    renderer, page_box = figure.canvas.get_renderer(), figure.bbox.padded(1)
    boxes = [axes.get_window_extent(renderer) for axes in figure.axes]
    for artist in [*figure.legends, *figure.texts]:
        box = artist.get_window_extent(renderer)
        assert not any(box.overlaps(panel) for panel in boxes), artist
        assert box.x0 >= page_box.x0
        assert box.x1 <= page_box.x1
    for legend in figure.legends:
        covered = [
            t for t in figure.texts if t.get_window_extent(renderer).overlaps(legend.get_window_extent(renderer))
        ]
        assert not [t.get_text() for t in covered if t.get_text()]
