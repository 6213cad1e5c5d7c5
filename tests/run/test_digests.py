"""The digest follows what the code says, and the imports that reach it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from truthward.errors import StaleError
from truthward.run import digests
from truthward.study import plugins


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
    assert (digests.strip(one).split() == digests.strip(other).split()) is equal


KINDS = [
    ("events.readers", "flat_tree"),
    ("physics.generators", "gaussian"),
    ("calibrate", "repulsive"),
    ("unfold", "omnifold"),
    ("models", "flow_matching"),
]
"""A plug-in of each folder that has some."""


def sources(root, rule, *kinds) -> set[str]:
    """What a rule's digest holds, relative to the package."""
    found = digests.reached(root / "workflow" / "scripts" / f"{rule}.py", kinds)
    return {p.relative_to(digests.PACKAGE).as_posix() for p in found if p.is_relative_to(digests.PACKAGE)}


def rules(root) -> list[str]:
    return sorted(p.stem for p in (root / "workflow" / "scripts").glob("*.py"))


def test_a_stage_reaches_what_it_uses_and_no_other_method(root) -> None:
    found = sources(root, "unfold_part", ("unfold", "omnifold"))
    used = {
        "unfold/omnifold/method.py",
        "unfold/stage.py",
        "learn/fit.py",
        "events/table.py",
        "study/seeds.py",
        "study/observable.py",
    }
    others = {
        "unfold/ibu.py",
        "unfold/generative/method.py",
        "models/flow_matching.py",
        "report/style.py",
        "publish/hepdata.py",
    }
    assert used <= found
    assert not found & others
    assert [n for n in used | others if not (digests.PACKAGE / n).is_file()] == []


def test_every_left_out_module_exists_and_has_a_reason() -> None:
    assert [n for n in digests.LEFT_OUT if not (digests.PACKAGE / f"{n.replace('.', '/')}.py").is_file()] == []
    assert all(digests.LEFT_OUT.values())


def test_no_rule_reaches_what_the_scheduler_alone_may_use(root) -> None:
    """What these decide travels as `spec`; a stage that imported them would rerun with every key of a config."""
    own = {"study/config.py", "study/checks.py", "study/named.py", "systematics/section.py"}
    own |= {f"{name.replace('.', '/')}.py" for name in digests.LEFT_OUT}
    for rule in rules(root):
        assert not sources(root, rule, *KINDS) & own, rule


def imported(root, rule: str) -> set[str]:
    """Modules of the package that an adapter, its plug-ins and all below them import, whatever they are."""
    todo = [root / "workflow" / "scripts" / f"{rule}.py"]
    todo += [plugins.source(package, kind) for package, kind in KINDS]
    left_out = {digests.PACKAGE / f"{name.replace('.', '/')}.py" for name in digests.LEFT_OUT}
    seen: set = set()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            if path in left_out:
                # What decides no result does not by what it imports either.
                continue
            todo += [digests._file_of(module) for module in digests.imports(path)]
    return {p.relative_to(digests.PACKAGE).as_posix() for p in seen if p.is_relative_to(digests.PACKAGE)}


def test_a_digest_holds_all_that_is_imported_less_what_is_left_out(root) -> None:
    left_out = {f"{name.replace('.', '/')}.py" for name in digests.LEFT_OUT} | {"__init__.py"}
    for rule in rules(root):
        assert imported(root, rule) - sources(root, rule, *KINDS) <= left_out, rule


OWN = {"simulate": [("physics.generators", "gaussian")], "unfold_part": [("unfold", "omnifold")]}
"""Plug-ins of rules, as the tiny study chooses them."""

EDITS = [
    # What decides a result, and by which edit: rules that it changes, and rules that do not depend on it.
    (
        "study/observable.py",
        "for i in range(bins + 1))",
        "for i in range(1, bins + 2))",
        {"ingest", "unfold_figures", "validate", "publish", "report_summary"},
        {"simulate", "unfold", "validate_fit"},
    ),
    ("simulate/section.py", "BLOCK = 1000", "BLOCK = 500", {"simulate"}, {"ingest", "unfold_part", "publish"}),
    ("events/families.py", "np.sqrt(", "np.abs(", {"unfold", "unfold_figures", "validate", "publish"}, {"simulate"}),
    ("publish/hepdata.py", "width=1000", "width=80", {"publish"}, {"unfold", "validate", "report_summary"}),
    (
        "run/artefact.py",
        "sort_keys=True",
        "sort_keys=False",
        {"validate", "ingest_examine", "ingest_summary", "publish"},
        set(),
    ),
    (
        "study/plugins.py",
        'if key not in ("kind", *found.groups)',
        "",
        {"simulate", "ingest", "unfold_part"},
        {"validate", "publish"},
    ),
    ("unfold/omnifold/options.py", "width: int = 64", "width: int = 65", {"unfold_part"}, {"ingest", "publish"}),
    (
        "study/generative_members.py",
        "Field(5.0, gt=0)",
        "Field(4.0, gt=0)",
        {"surrogate", "amplify_study"},
        {"ingest", "publish"},
    ),
    ("surrogate/section.py", "Field(60, ge=1)", "Field(6, ge=1)", {"surrogate"}, {"amplify_draw", "unfold_part"}),
    (
        "systematics/section.py",
        '"regularisation": 2',
        '"regularisation": 4',
        set(),
        {"unfold_part", "unfold", "publish"},
    ),
]


def test_an_edit_changes_the_digests_of_what_it_decides_and_no_other(root, tmp_path, monkeypatch) -> None:
    package = tmp_path / "truthward"
    shutil.copytree(digests.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digests, "PACKAGE", package)
    monkeypatch.setattr(plugins, "ROOT", package)
    monkeypatch.setattr(digests.environment, "digest", lambda modules: "")
    read = digests._digest.__wrapped__
    known: dict[Path, str] = {}

    def digest(path: Path) -> str:
        if path not in known:
            known[path] = read(path)
        return known[path]

    monkeypatch.setattr(digests, "_digest", digest)
    scripts = root / "workflow" / "scripts"

    def digest_of_all() -> dict[str, str]:
        return {rule: digests.code(scripts / f"{rule}.py", OWN.get(rule, ()))["digest"] for rule in rules(root)}

    def write(name: str, text: str) -> None:
        (package / name).write_text(text, encoding="utf-8")
        known.pop(package / name, None)

    for cached in (digests.imports, digests._closure):
        cached.cache_clear()
    try:
        before = digest_of_all()
        for name, old, new, changed, kept in EDITS:
            source = (package / name).read_text(encoding="utf-8")
            assert old in source, name
            write(name, source.replace(old, new))
            after = digest_of_all()
            different = {rule for rule in before if before[rule] != after[rule]}
            assert changed <= different, name
            assert not different & kept, name
            write(name, source)
    finally:
        for cached in (digests.imports, digests._closure):
            cached.cache_clear()


def test_simulation_does_not_depend_on_networks(root) -> None:
    assert not [n for n in sources(root, "simulate", ("physics.generators", "pythia")) if n.startswith("learn")]


def test_function_level_imports_count(tmp_path) -> None:
    path = tmp_path / "adapter.py"
    path.write_text("def f():\n    from truthward.learn import fit\n")
    assert "truthward.learn.fit" in digests.imports(path)


def test_an_adapter_named_as_a_module_is_told_apart(root, tmp_path) -> None:
    adapter = tmp_path / "surrogate.py"
    adapter.write_text("import truthward.surrogate.stage\n")
    before = digests.code(adapter)["digest"]
    digests._digest.cache_clear()
    adapter.write_text("import truthward.surrogate.stage\n\nx = 1\n")
    assert digests.code(adapter)["digest"] != before


def test_jobs_are_held_against_what_their_scheduler_handed_over(root, monkeypatch) -> None:
    scripts = root / "workflow" / "scripts"
    planned = digests.code(scripts / "ingest.py", [("events.readers", "flat_tree")])
    monkeypatch.setenv(digests.PLAN, "")
    digests.hand_over(scripts)
    whole = json.loads(os.environ[digests.PLAN])
    assert len(os.environ[digests.PLAN]) < 2**15
    digests.check(scripts / "ingest.py", planned)
    for name in ("python", "truthward", "envs/requirements.lock", "adapter/ingest.py", "events/readers/flat_tree.py"):
        monkeypatch.setenv(digests.PLAN, json.dumps(whole | {name: "other"}))
        with pytest.raises(StaleError, match=rf"rule ingest: .*{name} \(.* here, other there\); changed in between"):
            digests.check(scripts / "ingest.py", planned)
    # What the rule does not reach may change while it waits.
    monkeypatch.setenv(
        digests.PLAN, json.dumps(whole | {"unfold/omnifold/method.py": "other", "adapter/unfold.py": "x"})
    )
    digests.check(scripts / "ingest.py", planned)


def test_a_job_that_was_handed_nothing_says_so(root, monkeypatch, caplog) -> None:
    monkeypatch.delenv(digests.PLAN, raising=False)
    adapter = root / "workflow" / "scripts" / "ingest.py"
    digests.check(adapter, digests.code(adapter))
    assert "the scheduler planned with did not reach this job" in caplog.text
