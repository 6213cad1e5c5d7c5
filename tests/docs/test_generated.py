"""What is generated is in step with the source: options, benchmarks, figures, and the names of files in the text."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT
from truthward.layers import ROOMS, layer
from truthward.study import options, plugins
from truthward.study.config import Config

GROUPS = options.everything()


@pytest.fixture(scope="module")
def load():
    """A function that imports a module of docs/ or benchmarks/ by its name."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in ("benchmarks", "docs"):
            patch.syspath_prepend(ROOT / folder)
        yield importlib.import_module
    for name in ("_options_page", "_rooms_figure", "tables"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_option_says_what_it_means(group) -> None:
    assert [option.name for option in group.options if len(option.meaning.split()) < 2] == []
    assert group.summary


def test_no_option_is_missing_on_the_page(load) -> None:
    page = load("_options_page").page()
    headings = re.findall(r"^### `(\w+)`", page, flags=re.MULTILINE)
    sections = [field.alias or name for name, field in Config.model_fields.items()]
    assert headings == sections + [kind for folder in options.FOLDERS for kind in plugins.kinds(folder)]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == sum(len(group.options) for group in GROUPS)
    for group in GROUPS:
        part = page.partition(f"{{ #{group.name.replace('.', '-').replace('_', '-')} }}")[2].partition("\n### ")[0]
        for option in group.options:
            assert re.search(rf"^\| `(?:[\w<>]+\.)*{option.name}` \| .+ \| .+ \|$", part, flags=re.MULTILINE), option
    for folder in options.FOLDERS:
        for kind in plugins.kinds(folder):
            asked = [name for name in plugins.schema(folder, kind).options if name not in options.GIVEN]
            rows = [option for option in options.plugin(folder, kind).options if option.type != "section"]
            key = options.FOLDERS[folder][0]
            assert [f"{option.where}.{option.name}".removeprefix(f"{key}.") for option in rows] == asked


def test_cells_of_the_options_page_are_whole(load) -> None:
    """Strokes and angles within a text would begin a cell or a tag, and stand in code as they are."""
    rows = [line for line in load("_options_page").page().splitlines() if line.startswith("|")]
    plain = [re.sub(r"`[^`]*`", "", line) for line in rows]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in plain} == {6}
    assert [line for line in plain if "<" in line] == []
    assert [line for line in rows if "`" in line and re.search(r"`[^`]*&lt;[^`]*`", line)] == []


def test_tables_are_those_of_the_results(load) -> None:
    tables, readme = load("tables"), (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == tables.page(), "run `make tables`"
    assert readme.partition(tables.START)[2].partition(tables.END)[0].strip() == tables.methods_table(), "`make tables`"
    named = re.findall(r"^## (\w+)$", tables.page(), flags=re.MULTILINE)
    assert sorted(named) == sorted(path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json"))


def test_every_method_and_model_is_in_the_table_of_methods(load) -> None:
    table = load("tables").methods_table()
    for folder in ("unfold", "models"):
        assert [kind for kind in plugins.kinds(folder) if f"`{kind}`" not in table] == []


def test_figure_of_the_rooms_is_of_the_imports_that_are_there(load) -> None:
    figure = load("_rooms_figure")
    edges = figure.edges()
    assert edges["unfold", "learn"] > 5
    assert edges["validate", "unfold"] >= 1
    assert all(layer(other) <= layer(room) for room, other in edges)
    assert set(figure.places()) == set(ROOMS) - {"errors", "layers"}
    svg = figure.svg()
    assert svg.startswith(b"<?xml")
    assert figure.svg() == svg, "the same imports give the same bytes"


def test_readme_is_a_front_door() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert 6000 <= len(text.encode()) <= 8200
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    """Of the package, without `src/truthward/`, or of the checkout; what the page itself asks to be written is not."""
    text = page.read_text(encoding="utf-8")
    places = (ROOT, ROOT / "src" / "truthward")
    for name in re.findall(r"`([\w./-]+/[\w-]+\.(?:py|smk|yaml|def|in|lock))`", text):
        made = any(word in name for word in ("area", "yield_only", "linear_gaussian", "linear_response"))
        assert made or any((place / name).is_file() for place in places), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_those_that_there_are(page: Path) -> None:
    text, makefile = page.read_text(encoding="utf-8"), (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z]+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    commands = ("check", "inspect", "watch", "options", "new-study", "verify", "compare", "convert")
    assert set(re.findall(r"(?:^|`)truthward ([a-z-]+)", text, flags=re.MULTILINE)) <= {*commands}
