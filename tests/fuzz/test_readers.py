"""A few hundred damaged files through every reader: typed errors or right results; `benchmarks/fuzz.py` has more."""

from __future__ import annotations

from collections import Counter

import pytest
import readers
from campaign import Outcome, run
from mutate import KINDS, damaged

# Its fixtures are made once, on one worker.
pytestmark = pytest.mark.xdist_group("fuzz_readers")

CASES = 24
OWN = ("event table", "unfolded sample", "gathering of parts", "checkpoint", "trained arrays", "resume state")
"""Formats of the project: their readers find damage by themselves, be there a record of the checksum or not."""


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return run([(target.name, number) for target in readers.TARGETS for number in range(CASES)])


def told(found: list[Outcome]) -> str:
    return "\n".join(f"{o.target}, case {o.number} ({o.kind}): {o.outcome} {o.detail}" for o in found)


def test_nothing_but_typed_errors_comes_out_of_a_reader(outcomes: list[Outcome]) -> None:
    assert len(outcomes) == CASES * len(readers.TARGETS)
    assert not (found := [o for o in outcomes if o.outcome == "other"]), told(found)


def test_nothing_is_altered_behind_a_checksum(outcomes: list[Outcome]) -> None:
    # A config is text that its author changes: it has no checksum.
    found = [o for o in outcomes if o.checked not in ("typed error", "right result") and o.target != "config"]
    assert not found, told(found)


def test_own_formats_need_no_checksum_beside_them(outcomes: list[Outcome]) -> None:
    found = [o for o in outcomes if o.target in OWN and o.outcome == "altered"]
    assert not found, told(found)


def test_the_cases_are_cases(outcomes: list[Outcome]) -> None:
    """Every kind of damage was done, and each reader met some that it must refuse."""
    assert {o.kind for o in outcomes} == set(KINDS)
    refused = Counter(o.target for o in outcomes if o.checked == "typed error")
    quiet = {"resume state"}  # A state that is damaged is as good as none: the training begins anew.
    assert set(refused) | quiet == {target.name for target in readers.TARGETS}
    # An uncompressed ROOT file has no checksum inside: what the list finds, the reader alone cannot.
    assert any(o.outcome == "altered" and o.checked == "typed error" for o in outcomes)


def test_damage_is_damage_and_is_done_again_alike() -> None:
    whole = bytes(range(256)) * 40
    made = [damaged(whole, f"a{number}") for number in range(400)]
    assert made == [damaged(whole, f"a{number}") for number in range(400)]
    assert {kind for kind, _ in made} == set(KINDS)
    assert sum(data == whole for _, data in made) < 20


TRAPS = """
import os, time
from truthward.errors import InputError

class Trap:
    name = "trap"

    def make(self, folder):
        (folder / "a").write_bytes(b"intact" * 50)
        return folder / "a"

    def text(self, path):
        if path.read_bytes() == b"intact" * 50:
            return "1"
        {act}

    def seal(self, path): pass
    def check(self, path): pass

TARGETS = [Trap()]
"""


@pytest.mark.parametrize(
    ("act", "seconds", "outcome", "said"),
    [
        ("os.abort()", 20, "other", "SIGABRT"),
        ("os.kill(os.getpid(), 11)", 20, "other", "SIGSEGV"),
        ("time.sleep(60)", 1, "other", "hangs for 1 s"),
        ("x = bytearray(20 * 2**30)", 20, "other", "MemoryError"),
        ("raise KeyError(5)", 20, "other", "KeyError"),
        ("raise InputError('no')", 20, "typed error", "InputError: no"),
        ("return '2'", 20, "altered", ""),
        ("return '1'", 20, "right result", ""),
    ],
)
def test_the_campaign_sees_what_a_reader_does(tmp_path, act: str, seconds: int, outcome: str, said: str) -> None:
    (tmp_path / "trap.py").write_text(TRAPS.format(act=act), encoding="utf-8")
    first, second = run([("trap", 0), ("trap", 1)], seconds=seconds, module=tmp_path / "trap.py")
    assert (first.outcome, second.outcome) == (outcome, outcome)
    assert said in first.detail
