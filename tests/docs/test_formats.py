"""The pages on files and formats: no key is missing, and what commands print is what the pages say."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from tests.docs.blocks import BLOCKS, ROOT
from truthward.cli.main import main
from truthward.events.readers.objects.branches import VECTOR
from truthward.study.objects import WAYS, Cluster, Collection, Link, Match, Side
from truthward.study.plugins import build
from truthward.study.presets import expanded, names

PAGE = (ROOT / "docs" / "howto" / "formats.md").read_text(encoding="utf-8")
PRINTED = [block for block in BLOCKS if block.page == "docs/howto/own-data.md" and block.text.startswith("$ ")]


def keys(begin: str) -> list[str]:
    """Keys of the table behind a text of the page."""
    table = PAGE.partition(begin)[2].partition("\n|---")[2].partition("\n\n")[0]
    return [name for row in table.splitlines()[1:] for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


@pytest.mark.parametrize(
    ("begin", "model"),
    [
        ("### Keys of a collection", Collection),
        ("Keys of `match`", Match),
        ("Keys of `cluster`", Cluster),
        ("`constituents` has fields", Link),
    ],
)
def test_no_key_is_missing_on_the_page(begin, model):
    assert sorted(keys(begin)) == sorted(model.model_fields)


def test_no_key_of_a_level_is_missing_on_the_page():
    own = {"where", "cluster", "constituents"}
    assert set(Side.model_fields) == own | {"fields"}
    assert set(keys("Keys of a level")) == own | {'"*"', *VECTOR}


def test_links_that_the_page_calls_valid_are_valid():
    for given in WAYS:
        Link(**dict.fromkeys(given, "x"))
    assert set().union(*WAYS) == set(Link.model_fields)


def test_every_preset_is_in_the_table_and_has_an_example():
    assert sorted(keys("Presets come with the package")) == sorted(f"{name}" for name in names())
    used = set()
    for block in BLOCKS:
        if block.page == "docs/howto/formats.md" and block.language == "yaml":
            content = yaml.safe_load(block.text)
            used |= {sample["read"].get("preset") for sample in content["samples"].values()}
    assert used - {None} == set(names())


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.page == "docs/howto/formats.md" and b.language == "yaml"], ids=str
)
def test_readers_of_the_examples_can_be_made(block):
    for sample in yaml.safe_load(block.text)["samples"].values():
        build("events.readers", expanded(sample["read"], truth=sample["role"] != "data"))


def test_commands_print_what_the_page_says(tmp_path, monkeypatch, capsys, shared_data):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for path in shared_data.glob("*.root"):
        (tmp_path / path.name).symlink_to(path)
    assert len(PRINTED) >= 6
    for block in PRINTED:
        command, _, said = block.text.partition("\n")
        assert main(shlex.split(command.removeprefix("$ truthward "))) == 0
        lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        printed = re.sub(r"\n\n+", "\n\n", "\n".join(lines)).strip()
        assert printed == said.strip(), block
