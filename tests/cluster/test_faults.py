"""What a cluster does to a job costs nothing: the next attempt, or the next call, ends as if nothing had been."""

import pytest

from tests.cluster.faults import CLUSTER, perform

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.mark.parametrize("name", CLUSTER)
def test_the_job_ends_as_if_nothing_had_been(cluster, prepared, undisturbed, tmp_path, name) -> None:
    outcome = perform(CLUSTER[name], prepared.fork(tmp_path / "clone"), cluster, undisturbed)
    assert outcome.lost == "nothing"
