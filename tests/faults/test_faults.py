"""Whatever dies: what was done stays done, what was half done is never taken for whole, and the next call goes on."""

import pytest

from tests.faults.cases import LOCAL, can_mount, perform
from tests.faults.study import TARGET, Study

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("faults")]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Study:
    """All that comes before the unfolding."""
    study = Study.new(tmp_path_factory.mktemp("faults") / "prepared")
    study.prepare()
    return study


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory) -> dict:
    """The numbers of a study that nothing happened to."""
    study = prepared.fork(tmp_path_factory.mktemp("faults") / "undisturbed")
    study.run(TARGET, cores=1)
    return study.numbers()


@pytest.mark.parametrize("name", LOCAL)
def test_the_next_call_ends_as_if_nothing_had_been(prepared, undisturbed, tmp_path, name) -> None:
    if name == "full_disk" and not can_mount(tmp_path / "mount"):
        pytest.skip("a disk can only be filled where a tmpfs can be mounted: as root")
    outcome = perform(LOCAL[name], prepared.fork(tmp_path / "clone"), undisturbed)
    assert outcome.lost == "nothing"
