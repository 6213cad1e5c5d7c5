"""The digest follows what the code says, and the imports that reach it."""

import json
import os

import pytest

from truthward import fingerprint
from truthward.errors import StaleError


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("x = 1", "x = 1  # why", True),
        ('"""Says what."""\nx = 1', "x = 1", True),
        ("def f():\n    return 1", 'def f():\n    """Doc."""\n\n    return 1', True),
        ("x = 1", "x = 2", False),
        ("x = 'a string'", "x = 'another'", False),
    ],
)
def test_only_comments_and_docstrings_are_left_out(one: str, other: str, equal: bool) -> None:
    assert (fingerprint.strip(one).split() == fingerprint.strip(other).split()) is equal


def names(root, rule, *kinds):
    files = [root / "workflow" / "scripts" / f"{rule}.py"]
    files += [fingerprint.PACKAGE.joinpath(*package.split("."), f"{kind}.py") for package, kind in kinds]
    found = fingerprint.closure(files)
    return {p.relative_to(fingerprint.PACKAGE).as_posix() for p in found if p.is_relative_to(fingerprint.PACKAGE)}


def test_a_stage_reaches_what_it_uses_and_no_other_method(root) -> None:
    found = names(root, "unfold_part", ("unfold", "omnifold"))
    assert {"unfold/omnifold.py", "unfold/base.py", "learn/fit.py", "events/table.py", "seeds.py"} <= found
    assert not found & {"unfold/ibu.py", "unfold/generative.py", "models/flow_matching.py", "plots.py", "publish.py"}


def test_infrastructure_is_left_out(root) -> None:
    assert not names(root, "ingest") & {f"{name}.py" for name in fingerprint.INFRASTRUCTURE}


def test_simulation_does_not_depend_on_networks(root) -> None:
    assert not [n for n in names(root, "simulate", ("physics.generators", "pythia")) if n.startswith("learn")]


def test_function_level_imports_count(tmp_path) -> None:
    path = tmp_path / "adapter.py"
    path.write_text("def f():\n    from truthward.learn import fit\n")
    assert "truthward.learn.fit" in fingerprint.imports(path)


def test_an_adapter_named_as_a_module_is_told_apart(root, tmp_path) -> None:
    adapter = tmp_path / "surrogate.py"
    adapter.write_text("import truthward.surrogate\n")
    before = fingerprint.code(adapter)["digest"]
    fingerprint._digest.cache_clear()
    adapter.write_text("import truthward.surrogate\n\nx = 1\n")
    assert fingerprint.code(adapter)["digest"] != before


def test_jobs_are_held_against_what_their_scheduler_handed_over(root, monkeypatch) -> None:
    scripts = root / "workflow" / "scripts"
    planned = fingerprint.code(scripts / "ingest.py", [("events.readers", "flat_tree")])
    monkeypatch.setenv(fingerprint.PLAN, "")
    fingerprint.hand_over(scripts)
    whole = json.loads(os.environ[fingerprint.PLAN])
    assert len(os.environ[fingerprint.PLAN]) < 2**15
    fingerprint.check(scripts / "ingest.py", planned)
    for name in ("python", "truthward", "envs/requirements.lock", "adapter/ingest.py", "events/readers/flat_tree.py"):
        monkeypatch.setenv(fingerprint.PLAN, json.dumps(whole | {name: "other"}))
        with pytest.raises(StaleError, match=rf"rule ingest: .*{name} \(.* here, other there\); changed in between"):
            fingerprint.check(scripts / "ingest.py", planned)
    # What the rule does not reach may change while it waits.
    monkeypatch.setenv(fingerprint.PLAN, json.dumps(whole | {"unfold/omnifold.py": "other", "adapter/unfold.py": "x"}))
    fingerprint.check(scripts / "ingest.py", planned)


def test_a_job_that_was_handed_nothing_says_so(root, monkeypatch, caplog) -> None:
    monkeypatch.delenv(fingerprint.PLAN, raising=False)
    adapter = root / "workflow" / "scripts" / "ingest.py"
    fingerprint.check(adapter, fingerprint.code(adapter))
    assert "nothing that the scheduler planned with reached this job" in caplog.text
