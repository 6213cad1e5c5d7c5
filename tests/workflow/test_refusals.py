"""Mistakes are refused before the first job; what a job depends on is checked in the job again."""

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


def refused(clone, *words: str) -> str:
    done = clone.call(*words, "--cores", "1", "--configfile", "study.yaml")
    assert done.returncode != 0
    assert not clone.path("results/tiny").exists()
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update(seeed=3), ["seeed", "did you mean 'seed'"]),
        (lambda s: s["unfold"]["methods"]["omnifold"].update(iteration=3), ["iteration", "did you mean 'iterations'"]),
        (lambda s: s["observables"].update(q={"range": [0, 1]}), ["observables.q", "samples.simulation"]),
    ],
)
def test_a_mistake_ends_the_call_in_one_line(empty, change, said) -> None:
    empty.study(change)
    lines = [line for line in refused(empty).splitlines() if "ConfigError" in line]
    assert len(lines) == 1
    for part in said:
        assert part in lines[0]


def test_files_that_are_not_there_are_named(empty) -> None:
    branches = {name: name for name in ("reco_x0", "reco_x1")}
    read = {"kind": "flat_tree", "files": ["nowhere/*.root"], "branches": branches}
    empty.study(lambda s: s["samples"].update(pseudodata={"role": "data", "read": read}))
    assert "samples.pseudodata.files: nowhere/*.root: no file matches" in refused(empty)


def test_a_job_with_other_code_than_the_schedulers_exits(empty) -> None:
    old = "hexdigest()[:16]"
    empty.edit("src/truthward/run/digests.py", old, f'{old} + __import__("uuid").uuid4().hex')
    done = empty.call("results/tiny/simulate/pseudodata/0.root", "--cores", "1", "--configfile", "study.yaml")
    assert done.returncode != 0
    log = empty.path("results/tiny/logs/simulate/pseudodata.0.log").read_text()
    assert "the source changed in between" in log
    assert not empty.path("results/tiny/simulate/pseudodata/0.root").exists()


def test_a_job_on_a_machine_with_other_source_exits(empty) -> None:
    # As an executor starts its jobs: they read the workflow again, and their params agree with the source here.
    words = (
        "results/tiny/simulate/pseudodata/0.root",
        "--mode",
        "remote",
        "--cores",
        "1",
        "--configfile",
        "study.yaml",
    )
    found = empty.call(*words, environment={"TRUTHWARD_PLAN": '{"study/seeds.py": "0123abcd"}'})
    assert found.returncode != 0
    log = empty.path("results/tiny/logs/simulate/pseudodata.0.log").read_text()
    assert "StaleError: rule simulate: this job has other versions than the scheduler planned with: truthward (" in log
    assert not empty.path("results/tiny/simulate/pseudodata/0.root").exists()
