"""What a cluster does to a job costs nothing: the next attempt, or the next call, ends as if nothing had been."""

import pytest

from tests.cluster.faults import CLUSTER, perform
from tests.faults.study import TARGET, Study

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Study:
    """All that comes before the unfolding."""
    study = Study.new(tmp_path_factory.mktemp("faults") / "prepared")
    study.prepare()
    return study


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory) -> dict:
    """The numbers of a study that nothing happened to, made without a cluster."""
    study = prepared.fork(tmp_path_factory.mktemp("faults") / "undisturbed")
    study.run(TARGET, cores=1)
    return study.numbers()


@pytest.mark.parametrize("name", CLUSTER)
def test_the_job_ends_as_if_nothing_had_been(cluster, prepared, undisturbed, tmp_path, name) -> None:
    outcome = perform(CLUSTER[name], prepared.fork(tmp_path / "clone"), cluster, undisturbed)
    assert outcome.lost == "nothing"
