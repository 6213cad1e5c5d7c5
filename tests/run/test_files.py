"""Which files a list names, and what is said where it names none."""

import pytest

from truthward.errors import InputError
from truthward.run.files import File, expand, filled


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mc").mkdir()
    for name in ("a.root", "mc/b.root", "mc/c.root", "mc/d.pool.root.1"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_all_forms_in_the_order_given(here) -> None:
    (here / "mc" / "files.txt").write_text("# sample 1\n\n  d.pool.root.1:tree \nhttps://s/x.root\n../more.txt\n")
    (here / "more.txt").write_text("a.root\nmc/*.root:other\n")
    found = expand(["root://s//y.root:dir/t", "mc/files.txt", "mc/?.root", "./a.root", "a.root"])
    assert found == [
        File("root://s//y.root", "dir/t"),
        File("mc/d.pool.root.1", "tree"),
        File("https://s/x.root"),
        File("mc/../a.root"),
        File("mc/../mc/b.root", "other"),
        File("mc/../mc/c.root", "other"),
        File("mc/b.root"),
        File("mc/c.root"),
        File("a.root"),
    ]
    assert [file.name for file in found[:3]] == ["y.root", "d.pool.root.1", "x.root"]


@pytest.mark.parametrize(
    ("text", "address", "tree"),
    [
        ("https://s:8443/a.root", "https://s:8443/a.root", None),
        ("https://s:8443/a.root:t", "https://s:8443/a.root", "t"),
        ("https://s/a:b/c.root?x=1:2", "https://s/a:b/c.root?x=1:2", None),
        ("root://s.root:1094//a.root", "root://s.root:1094//a.root", None),
        ("root://s.root:1094//x:y/a.root.2:t;1", "root://s.root:1094//x:y/a.root.2", "t;1"),
        ("https://s/" + 500 * "x", "https://s/" + 500 * "x", None),
    ],
)
def test_a_colon_in_an_address_is_no_tree(text, address, tree) -> None:
    assert expand([text]) == [File(address, tree)]


def test_a_file_may_have_a_colon_in_its_name(here) -> None:
    (here / "a.root:b").write_text("")
    assert expand(["a.root:b", "a.root:c"]) == [File("a.root:b"), File("a.root", "c")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://s/a.root", r"ftp://s/a\.root: ftp:// cannot be read; valid: https://, http://, root://, or a path"),
        ("none.root", r"none\.root: no such file \(seen from .*\); correct `files`"),
        ("none.root:t", r"none\.root: no such file"),
        ("none/*.root", r"none/\*\.root: no file matches this pattern"),
        ("none.txt", r"none\.txt: no such file"),
        ("empty.txt", r"empty\.txt: the list names no file; write one in each line"),
        ("missing.txt", r"missing\.txt:3: mc/x\.root: no such file"),
        ("pattern.txt", r"pattern\.txt:1: x\*\.root: no file matches this pattern"),
        ("self.txt", r"self\.txt:1: self\.txt: the list names itself"),
        ("bytes.txt", r"bytes\.txt: cannot be read as a list of files \("),
    ],
)
def test_what_names_no_file_is_refused(here, text, said) -> None:
    (here / "empty.txt").write_text("# nothing yet\n\n")
    (here / "missing.txt").write_text("a.root\n# more\nmc/x.root\n")
    (here / "pattern.txt").write_text("x*.root\n")
    (here / "self.txt").write_text("self.txt\n")
    (here / "bytes.txt").write_bytes(b"root\xff\xfe")
    with pytest.raises(InputError, match=said):
        expand(["a.root", text])
    with pytest.raises(InputError, match="the list is empty"):
        expand([])


def test_two_trees_for_one_file_are_refused() -> None:
    assert expand(["a.root:t", "mc/b.root"], "t") == [File("a.root", "t"), File("mc/b.root")]
    with pytest.raises(InputError, match=r"a\.root:u: `tree` is t; give the tree there, or behind the files"):
        expand(["a.root:u", "mc/b.root"], "t")


def test_a_spec_and_local_paths_give_the_same_files(here) -> None:
    (here / "x[1].root:t").write_text("")
    names = ["a.root:t", "https://s/a.root:t", "mc/*.root", "root://s//b.root", "x[1].root:t"]
    main, joined = expand(names), expand(["mc/b.root:u", "https://s/j.root"])
    read = {
        "files": [file.place for file in main],
        "join": {"x": {"tree": "t"}, "y": {"files": [file.place for file in joined], "by": "e"}},
    }
    again = filled(read, [file.address for file in (*main, *joined) if not file.remote])
    assert expand(again["files"]) == main
    assert expand(again["join"]["y"]["files"]) == joined
    assert again["join"]["x"] == {"tree": "t"}
