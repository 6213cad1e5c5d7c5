"""What became of the jobs of a call, from the log that Snakemake writes of it."""

from tests.call_logs import AGAIN, GROUP, LOG
from truthward.run.call import Started, parse


def test_jobs_are_counted_by_what_became_of_them() -> None:
    planned, started = parse(LOG)
    assert planned == {"simulate": 3, "ingest": 2, "publish": 1}
    assert [(s.state, s.slurm) for s in started.values()] == [
        ("done", "70_1"),
        ("failed", "70_2"),
        ("running", "70_3"),
    ]


def test_a_target_is_no_job() -> None:
    target = "localrule all:\n    input: results/toy/publication/metadata.json\n    jobid: 0\n"
    assert parse(LOG + target) == parse(LOG)


def test_a_restarted_job_runs_again() -> None:
    second = parse(LOG + AGAIN)[1]["2"]
    assert (second.state, second.slurm) == ("running", "80")


def test_jobs_of_a_group_count_each() -> None:
    assert parse(LOG + GROUP)[1]["4"] == Started("ingest", "results/toy/logs/ingest/a.log", "group")
