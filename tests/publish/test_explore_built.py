"""The page in the package is what its sources say; no node is needed to see this."""

from __future__ import annotations

import hashlib
import html
import re

import pytest

from truthward.errors import CorruptError
from truthward.publish.explore import page
from truthward.publish.explore.built import PAGE

HELP = "build the page again: `npm install && npm run build` in src/truthward/publish/explore/web"


@pytest.fixture
def folder(root):
    return root / "src" / "truthward" / "publish" / "explore"


def test_the_page_is_built_from_the_sources_that_are_there(folder) -> None:
    digest = hashlib.sha256()
    for path in sorted((folder / "web").iterdir()):
        if path.suffix in (".js", ".mjs", ".css", ".html", ".json"):
            digest.update(f"{path.name}\n".encode() + path.read_bytes())
    built = (folder / "page.html").read_bytes()
    found = re.search(r'<meta name="built-from" content="(\w+)">', built.decode())
    assert found is not None
    assert found[1] == digest.hexdigest(), HELP
    assert hashlib.sha256(built).hexdigest() == PAGE, HELP


def test_the_page_carries_the_licences_of_what_it_holds(folder) -> None:
    licences = (folder / "LICENSES.txt").read_text(encoding="utf-8")
    assert html.unescape((folder / "page.html").read_text(encoding="utf-8")).count(licences) == 1
    parts = licences.split("\n----\n\n")
    assert len(parts) > 10
    for part in parts:
        assert re.search(
            r"^\S+ [\d.]+ \((ISC|MIT|BSD-3-Clause|Unlicense)\)\n\n.*(copyright|public domain)", part, re.I | re.M | re.S
        )


def test_the_page_runs_its_own_script_alone(folder) -> None:
    """By the digest in its policy; what others put into the page does not run."""
    text = (folder / "page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "unsafe-eval" not in text
    assert "script-src 'sha256-" in text
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", text)


def test_a_damaged_page_is_not_written(monkeypatch) -> None:
    monkeypatch.setattr(page, "PAGE", "0" * 64)
    with pytest.raises(CorruptError, match=r"page\.html: is not the page that was built"):
        page._template()
