"""The two profiles agree where they must, and that of SLURM knows every rule."""

import re

import pytest
import yaml


@pytest.fixture
def profiles(root) -> dict[str, dict]:
    return {n: yaml.safe_load((root / "profiles" / n / "config.yaml").read_text()) for n in ("default", "slurm")}


@pytest.fixture
def rules(root) -> dict[str, str]:
    """Text of each rule that makes something, by name."""
    text = "\n".join(path.read_text() for path in sorted((root / "rules").glob("*.smk")))
    found = dict(re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", text, flags=re.MULTILINE | re.DOTALL))
    return {name: body for name, body in found.items() if "output:" in body}


@pytest.mark.parametrize("key", ["rerun-triggers", "rerun-incomplete", "show-failed-logs", "logger"])
def test_a_rerun_is_the_same_here_and_there(profiles, key) -> None:
    assert sorted(map(str, [profiles["slurm"][key]])) == sorted(map(str, [profiles["default"][key]]))
    assert "code" not in profiles["slurm"]["rerun-triggers"]


def test_rules_that_ask_for_memory_get_more_at_each_attempt(profiles, rules) -> None:
    given = profiles["slurm"]["set-resources"]
    assert {name for name, body in rules.items() if "mem_mb" in body} == set(given)
    for resources in (*given.values(), profiles["slurm"]["default-resources"]):
        assert all("attempt" in resources[name] for name in ("mem_mb", "runtime"))


def test_every_rule_that_the_profile_names_exists(profiles, rules) -> None:
    slurm = profiles["slurm"]
    named = {*slurm["groups"], *slurm["slurm-array-jobs"].split(",")}
    assert named <= set(rules)
    assert not set(slurm["groups"]) & set(slurm["slurm-array-jobs"].split(",")), "a group is never an array"


def test_no_input_is_ancient(root) -> None:
    """Where a job makes one anew, Snakemake 9 leaves out the jobs that need it, whatever other reasons they have."""
    for path in (root / "rules").glob("*.smk"):
        assert "ancient(" not in path.read_text(), path.name


def test_nothing_of_a_site_is_in_the_rules(rules) -> None:
    for name, body in rules.items():
        assert not re.search(r"slurm|partition|account|\bgres\b|gpu_model|qos", body), name


def test_a_job_gets_at_least_what_three_snakemakes_need(rules) -> None:
    for name, body in rules.items():
        assert all(int(mb) >= 1000 for mb in re.findall(r"mem_mb=(\d+)", body)), name
