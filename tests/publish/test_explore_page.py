"""The page refuses what it cannot show, asks for nothing from the network, and is usable on any screen."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from tests.publish.explored import FAMILIES, OBSERVABLES, events, published, weighted, written
from truthward.errors import ConfigError, InputError
from truthward.events.expression import Expression
from truthward.events.unfolded import weight_columns
from truthward.publish.explore import page as explore
from truthward.study.signatures import RESERVED
from truthward.study.syntax import Syntax

pytestmark = pytest.mark.xdist_group("browser")

WRONG = [
    ("expression", "m / mass", "no observable mass; there are: jet_pt, m, zg", 5),
    ("expression", "m +", "something is missing at the end", 4),
    ("expression", "(m + 1", "a parenthesis is not closed", 7),
    ("expression", "m + 9**9**9", "an exponent must be a number", 8),
    ("expression", "m ** jet_pt", "an exponent must be a number", 6),
    ("expression", "alert(m)", "no function alert", 1),
    ("expression", "m.constructor", "an operator is missing", 2),
    ("expression", "m[0]", "[ is not allowed here", 2),
    ("expression", "hypot(m)", "hypot takes 2 argument(s), 1 given", 1),
    ("expression", "sqrt m", "sqrt needs arguments", 1),
    ("expression", "2 m", "an operator is needed", 3),
    ("expression", "'m'", "' is not allowed", 1),
    ("expression", "__proto__ + m", "no observable __proto__", 1),
    ("selection", "m > 1 & zg", "a number where a condition is needed", 9),
    ("selection", "m > 1 and zg > 0", "an operator is needed, not and", 7),
]


@pytest.mark.parametrize(("field", "text", "message", "place"), WRONG)
def test_what_is_wrong_is_said_beside_the_field_with_its_place(joint, show, field, text, message, place) -> None:
    page = show(joint[0])
    page.ask(**{field: text})
    said = page.text(f"{field}-error")
    assert message in said
    assert f"(at character {place})" in said
    state = page.browser.evaluate("[document.getElementById('csv').disabled, figures.className]")
    assert state == [True, "stale"], "what is shown is not what was asked for"
    assert page.browser.evaluate(f"document.getElementById('{field}').getAttribute('aria-invalid')") == "true"
    with pytest.raises((ConfigError, InputError)):
        Expression(Syntax(text).text).evaluate({name: np.ones(2) for name in ("m", "jet_pt", "zg")})
    page.ask(**{field: "m > 1" if field == "selection" else "m"})
    assert page.text(f"{field}-error") == ""
    assert page.table().columns


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"expression": "m > 20"}, "expression-error", "this is a condition; write it under Selection"),
        ({"selection": "m"}, "selection-error", "a selection is a condition"),
        ({"selection": "m > 1e9", "mode": "normalised"}, "expression-error", "sum of the weights"),
        ({"expression": "log(m - 20)"}, "expression-error", "of 1400 values are not finite"),
        ({"edges": "0, 10, 10"}, "bins-error", "edges must increase"),
        ({"edges": "0, ten"}, "bins-error", "ten is not a number"),
        ({"edges": "1"}, "bins-error", "at least two edges"),
        ({"edges": " ".join(map(str, range(502)))}, "bins-error", "501 bins are too many"),
    ],
)
def test_what_cannot_be_shown_is_refused(joint, show, fields, error, message) -> None:
    page = show(joint[0])
    page.ask(**fields)
    assert message in page.text(error)
    assert page.browser.evaluate("document.getElementById('csv').disabled")


def test_the_functions_are_those_of_the_package(joint, show) -> None:
    assert set(show(joint[0]).browser.evaluate("functions.textContent").split(", ")) == RESERVED - {"count", "sum"}


def test_nothing_is_asked_from_the_network(joint, show) -> None:
    """And the page's own policy would not let it, nor run what is no part of it."""
    page = show(joint[0])
    page.ask(expression="m * 2")
    page.save("csv")
    own = joint[0].as_uri()
    assert [r for r in page.browser.requests if r != own and not r.startswith(("data:", "blob:"))] == []
    refused = "(async () => { try { await fetch('https://example.org/'); } catch (e) { return 'refused'; } })()"
    assert page.browser.evaluate(refused) == "refused"
    script = "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    page.browser.evaluate(script)
    assert page.browser.evaluate("window.ran") is None
    code = "(() => { try { return Function('return 1')(); } catch (e) { return 'refused'; } })()"
    assert page.browser.evaluate(code) == "refused"
    assert len(page.browser.messages) >= 2
    assert all("Content Security Policy" in said for said in page.browser.messages)
    page.browser.messages.clear()


def test_what_the_config_says_is_text(tmp_path, show) -> None:
    evil = '</script><script>window.ran = 1</script><img src=x onerror="window.ran = 2">"\'& $\\nothing{$ \\'
    columns = weighted(events(300), weight_columns(FAMILIES))
    observables = [o.model_copy(update={"label": evil, "unit": evil}) for o in OBSERVABLES]
    words = {"study": evil, "licence": evil, "fiducial": evil, "observables": observables}
    page = show(published(written(tmp_path / "u.parquet", [columns]), tmp_path / "p", **words))
    assert page.browser.evaluate("window.ran") is None
    assert page.text("title") == f"Unfolded events: {evil}"
    assert page.browser.evaluate("document.images.length") == 0
    (content, _) = yaml.safe_load_all(page.save("yaml").read_text(encoding="utf-8"))
    assert content["independent_variables"][0]["header"]["name"] == evil


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(joint, show, width) -> None:
    page = show(joint[0], width=width, height=844)
    page.browser.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    wide = "document.documentElement.scrollWidth"
    assert page.browser.evaluate(wide) <= width
    page.ask(expression="m + " * 60 + "nothing")
    assert page.browser.evaluate(wide) <= width
    page.ask(expression="m + " * 60 + "zg", mode="normalised")
    assert page.browser.evaluate(wide) <= width
    assert page.browser.evaluate("document.querySelector('#spectrum svg').getBoundingClientRect().width") > 0.7 * min(
        width, 900
    )


def test_the_keyboard_is_enough(joint, show) -> None:
    page = show(joint[0])
    page.browser.press("Tab", 9)
    assert page.browser.evaluate("document.activeElement.id") == "observable"
    page.browser.press("ArrowDown", 40)
    page.browser.wait("document.getElementById('expression').value === 'zg'")
    page.browser.press("Tab", 9)
    assert page.browser.evaluate("document.activeElement.id") == "expression"
    page.browser.evaluate("document.activeElement.select()")
    page.browser.call("Input.insertText", text="2 * m")
    page.browser.wait("document.getElementById('figure-title').textContent === '2 * m'")
    hidden = "[...document.querySelectorAll('input, select, button, #table')].filter((e) => e.tabIndex < 0).length"
    assert page.browser.evaluate(hidden) == 0


def test_too_many_events_for_a_page_are_said_to_be(joint, tmp_path, browser) -> None:
    path, sample = joint
    metadata = json.loads(path.with_name("metadata.json").read_text())
    explore.write_page(tmp_path / "large.html", sample, metadata, {}, largest=10_000)
    browser.open(tmp_path / "large.html")
    assert "1400 rows are too many for a page" in browser.wait("document.querySelector('main .error')?.innerText")
    assert "CC-BY-4.0" in browser.evaluate("document.getElementById('about').innerText")
    assert browser.messages == []
