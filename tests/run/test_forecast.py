"""What jobs will take, from those that are done, and how long they take together."""

from pathlib import Path

from truthward.run.forecast import TRUSTED, Planned, estimates, kind_of, schedule, taken


def planned(name: str, *needs: str, cores: int = 1) -> Planned:
    return Planned(log=Path(f"results/toy/logs/{name}.log"), needs=needs, cores=cores)


def test_a_job_says_what_it_took_once_it_is_done(tmp_path) -> None:
    log = tmp_path / "job.log"
    assert taken(log) is None
    log.write_text("12:00:00 INFO rule ingest starts: seed 1, threads 1\n")
    assert taken(log) is None
    log.write_text("first\n" * 1000 + "12:00:09 INFO rule ingest is done: 8.5 s, 7.1 s of CPU time\n")
    assert taken(log) == 8.5


def test_jobs_take_what_others_of_their_kind_took_and_the_rest_is_scaled() -> None:
    before = {"simulate/a.0": 50.0, "simulate/a.1": 50.0, "simulate/b.0": 50.0, "publish": 10.0}
    assert estimates(before, {}) == before
    found = estimates(before, {"simulate/a.0": 200.0})
    scale = (200.0 + TRUSTED) / (50.0 + TRUSTED)
    assert found == {
        "simulate/a.0": 200.0,
        "simulate/a.1": 200.0,
        "simulate/b.0": 50.0 * scale,
        "publish": 10.0 * scale,
    }


def test_a_number_is_that_of_a_chunk_only_behind_a_point() -> None:
    assert kind_of("simulate/v2") == "simulate/v2"
    assert kind_of("simulate/v2.11") == "simulate/v2"


def test_jobs_wait_for_their_inputs_and_for_cores() -> None:
    jobs = [planned("a"), planned("b"), planned("c", "a"), planned("d", "b", "c")]
    left = {"a": 1.0, "b": 10.0, "c": 2.0, "d": 5.0}
    assert schedule(jobs, left, [], 2) == (15.0, ["a", "b", "c", "d"])
    assert schedule(jobs, left, [], 1) == (18.0, ["a", "b", "c", "d"])
    # What is done holds up nothing; what runs takes its core.
    assert schedule(jobs, {"c": 2.0, "d": 5.0}, ["c"], 1) == (7.0, ["d"])
    assert schedule(jobs, {}, [], 2) == (0.0, [])


def test_a_job_takes_its_cores() -> None:
    jobs = [planned("a", cores=2), planned("b", cores=2), planned("c"), planned("d", cores=8)]
    left = dict.fromkeys("abcd", 1.0)
    assert schedule(jobs, left, [], 4) == (3.0, ["a", "b", "c", "d"])
    assert schedule(jobs, left, [], 1) == (4.0, ["a", "b", "c", "d"])
