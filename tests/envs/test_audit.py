"""The audit never takes silence for safety."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def audit(tmp_path):
    spec = importlib.util.spec_from_file_location("audit", ROOT / "envs" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.LOCK = tmp_path / "requirements.lock"
    module.LOCK.write_text("# Head.\none==1.0  # via requirements.in\ntwo==2.0  # via one\n", encoding="utf-8")
    return module


def known(name: str, *ids: str) -> dict:
    return {"name": name, "version": "1.0", "vulns": [{"id": i, "fix_versions": ["1.1"]} for i in ids]}


SKIPPED = {"name": "two", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("pypi", "osv", "code", "said"),
    [
        ([known("one"), known("two")], None, 0, "2 of 2 packages were looked up, 0 are vulnerable"),
        ([known("one", "CVE-1"), known("two")], None, 1, "one 1.0: CVE-1, mended in 1.1"),
        ([known("one"), SKIPPED], [known("one"), known("two", "CVE-2")], 1, "two 1.0: CVE-2"),
        ([known("one"), SKIPPED], [], 2, "Not audited: two."),
        ([], [], 2, "Not audited: one, two."),
        ([known("one", "CVE-1"), SKIPPED], [], 1, "1 of 2 packages were looked up, 1 are vulnerable"),
    ],
)
def test_exit_code_says_what_is_known(audit, capsys, pypi, osv, code, said) -> None:
    answers = {"pypi": pypi, "osv": osv}
    audit.ask = answers.__getitem__
    assert audit.audit() == code
    assert said in capsys.readouterr().out


def test_service_that_is_not_reached_knows_nothing(audit, monkeypatch, capsys) -> None:
    done = type("Done", (), {"stdout": "", "stderr": "Traceback\nConnectionError: no such host"})
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    assert audit.audit() == 2
    assert "osv was not reached: ConnectionError: no such host" in capsys.readouterr().out
