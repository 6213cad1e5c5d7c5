"""Whatever dies: what was done stays done, what was half done is never taken for whole, and the next call goes on."""

import pytest

from tests.faults.cases import LOCAL, can_mount, perform

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("faults")]


@pytest.mark.parametrize("name", LOCAL)
def test_the_next_call_ends_as_if_nothing_had_been(prepared, undisturbed, tmp_path, name) -> None:
    if name == "full_disk" and not can_mount(tmp_path / "mount"):
        pytest.skip("a disk can only be filled where a tmpfs can be mounted: as root")
    outcome = perform(LOCAL[name], prepared.fork(tmp_path / "clone"), undisturbed)
    assert outcome.lost == "nothing"
