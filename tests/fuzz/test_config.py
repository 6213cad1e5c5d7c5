"""Configs that were changed at random: a valid one, or a ConfigError in one line; never anything else."""

from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from truthward.errors import ConfigError
from truthward.study.checks import load, parse

ROOT = Path(__file__).parents[2]
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))]
CONFIGS = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in STUDIES]
QUICK = settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

Path_ = tuple[Any, ...]


def places(content: Any, path: Path_ = ()) -> list[Path_]:
    """Every place of a nested config, the sections themselves included."""
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found = [path] if path else []
    for key, value in children:
        found += places(value, (*path, key))
    return found


PLACES = [(number, path) for number, config in enumerate(CONFIGS) for path in places(config)]
KEYS = sorted({part for _, path in PLACES for part in path if isinstance(part, str)})


def at(content: Any, path: Path_) -> Any:
    for part in path:
        content = content[part]
    return content


leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**6, 2**63, 2**64, -(2**70), 10**400]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["../x", "/etc", "a/b", ".x", "a\x00", "a\n", "\ud800", "é", "x" * 300, "$\\bad{$", *KEYS]),
    st.sampled_from([datetime.date(2024, 1, 1), b"bytes", {1, 2}, 1j]),
)
value = st.one_of(
    leaf,
    st.lists(leaf, max_size=3),
    st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8), st.none(), st.integers()), leaf, max_size=3),
    st.sampled_from(PLACES).map(lambda place: copy.deepcopy(at(CONFIGS[place[0]], place[1]))),
)


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """A ready-made study with one to three places changed, renamed, taken away, or filled from elsewhere."""
    number = draw(st.integers(0, len(CONFIGS) - 1))
    content = copy.deepcopy(CONFIGS[number])
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(content)))
        section, key = at(content, path[:-1]), path[-1]
        act = draw(st.sampled_from(["replace", "replace", "remove", "rename", "add"]))
        if act == "replace":
            section[key] = draw(value)
        elif act == "remove":
            del section[key]
        elif isinstance(section, list):
            section.insert(0, draw(value))
        else:
            name = draw(st.one_of(st.sampled_from(KEYS), st.text(max_size=12), st.just(f"{key}s"), st.integers()))
            section[name] = section.pop(key) if act == "rename" else draw(value)
        if not places(content):
            break
    return content


@QUICK
@given(content=changed())
def test_a_changed_config_is_valid_or_refused_in_one_line(content: dict[str, Any]) -> None:
    try:
        config = parse(content, "study.yaml")
    except ConfigError as error:
        message = str(error)
        assert message.startswith("study.yaml: ")
        assert len(message.splitlines()) == 1
        assert len(message) < 1500
        return
    # What the rules and the jobs make of it.
    text = json.dumps([config.model_dump(mode="json"), config.observable_list()], allow_nan=False)
    assert text.encode("utf-8")
    assert all(edge == edge for o in config.observables.values() for edge in o.edges)
    assert all(isinstance(n, int) and n > 0 for n in config.families().values())
    assert config.sample("data") in config.samples
    assert config.has_closure in (True, False)


@QUICK
@given(content=st.one_of(value, st.recursive(leaf, lambda inner: st.lists(inner, max_size=3), max_leaves=30)))
def test_anything_at_all_is_valid_or_refused(content: Any) -> None:
    with pytest.raises(ConfigError):
        parse(content)


def aliases(levels: int) -> str:
    """Lists of ten aliases of lists of ten aliases: 10^levels values in a few hundred characters."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for i in range(1, levels):
        inner = ", ".join([f"*a{i - 1}"] * 10)
        lines.append(f"a{i}: &a{i} [{inner}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        aliases(10),
        "[" * 20000,
        "a: " + "[" * 200 + "]" * 200,
        "&a [*a]",
        "&a {study: *a}",
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "study: 2024-13-45",
        "study: !!binary aGk=",
        "? [1, 2]\n: 3",
        "a: *nowhere",
        "\x00",
        "study: \ud83d",
        "{",
        "",
    ],
    ids=lambda text: text[:20],
)
def test_what_yaml_can_hide_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1500


def test_aliases_hidden_in_a_right_key_are_refused() -> None:
    content = copy.deepcopy(CONFIGS[0])
    bomb: Any = [1] * 10
    for _ in range(9):
        bomb = [bomb] * 10
    for path in (("observables", "m", "atoms"), ("calibrate", "features"), ("study",), ("unfold", "methods", "ibu")):
        section = at(content, path[:-1])
        kept, section[path[-1]] = section.get(path[-1]), bomb
        with pytest.raises(ConfigError, match="aliases"):
            parse(content)
        section[path[-1]] = kept


NAMED = {
    "study": None,
    "samples": {"role": "alternative", "generate": {"kind": "gaussian"}},
    "observables": {"range": [0, 1]},
    "systematics": {"kind": "weight"},
    "surrogate.models": {"kind": "flow_matching"},
    "unfold.methods": {"kind": "ibu"},
}
ESCAPES = ["../x", "/tmp/x", "a/b", "..", ".", ".x", "a.b", "~", "a\\b", "a*", "{a}", "$a", "-a", "1a", "", "a "]
ESCAPES += ["a\x00", "a\n", "a\u202ea", "é", "\u0430", "\uff41", "a\u2024b"]


@pytest.mark.parametrize("name", [*ESCAPES, "a" * 65, "a" * 300, "é" * 100])
@pytest.mark.parametrize("where", NAMED)
def test_a_name_that_could_leave_the_results_is_refused(where: str, name: str) -> None:
    content = copy.deepcopy(CONFIGS[0])
    if where == "study":
        content["study"] = name
    else:
        at(content, tuple(where.split(".")))[name] = NAMED[where]
    with pytest.raises(ConfigError, match=r"is not a valid name|control characters") as caught:
        parse(content)
    assert len(str(caught.value).splitlines()) == 1
