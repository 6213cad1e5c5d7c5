"""A call says how far it is, where its output is no terminal."""

import re

import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]


def test_a_call_says_what_is_next_and_what_remains(empty):
    said = empty.run("results/tiny/simulate/simulation/0.root")
    line = r"^\[\d\d:\d\d\] 0 of 1 jobs done, next: simulate; (about \d+ min remain|less than a minute remains)$"
    assert len(re.findall(line, said, flags=re.MULTILINE)) == 1
    kept = empty.path("results/tiny/logs/progress.txt").read_text(encoding="utf-8")
    assert re.search(line, kept, flags=re.MULTILINE)
    log = empty.path("results/tiny/logs/simulate/simulation.0.log").read_text(encoding="utf-8")
    assert re.search(r"rule simulate is done: \d+\.\d s, \d+\.\d s of CPU time$", log, flags=re.MULTILINE)
