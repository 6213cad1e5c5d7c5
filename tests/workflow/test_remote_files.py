"""Remote files in a study: read by its jobs, planned without a network, and read again where they change."""

import numpy as np
import pytest
import uproot

from tests.served import serving
from truthward.events.table import EventTable

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

TABLE = "results/tiny/ingest/pseudodata.parquet"


def write(path, first: int, tree: str, size: int = 100) -> None:
    with uproot.recreate(path) as file:
        made = file.mktree(tree, {"n": np.int64, "x": np.float64})
        made.extend({"n": np.arange(first, first + size), "x": np.linspace(0.1, 0.9, size)})


@pytest.fixture
def served(empty, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "far").mkdir()
    write(tmp_path / "far" / "a.root", 0, "near")
    write(empty.path("b.root"), 100, "near")
    write(empty.path("joined.root"), 0, "more", 200)
    with serving(tmp_path / "far") as server:
        read = {
            "kind": "flat_tree",
            "files": [f"{server.address}/a.root:near", "b.root"],
            "branches": {"reco_x0": "x", "reco_x1": "more.x", "event_id": "n"},
            "join": {"more": {"files": ["joined.root:more"], "by": "n"}},
        }
        empty.study(lambda s: s["samples"].update(pseudodata={"role": "data", "read": read}))
        yield server


def test_remote_files_of_a_study(empty, served) -> None:
    empty.run(TABLE, cores=1)
    table = EventTable(empty.path(TABLE))
    assert table.num_rows == 200
    assert table.metadata["origin"]["files"] == ["a.root", "b.root"]
    told = table.metadata["provenance"]["spec"]
    assert told["read"]["files"] == [f"{served.address}/a.root:near", ""]
    assert told["remote"][f"{served.address}/a.root"]["size"] == (served.folder / "a.root").stat().st_size
    assert empty.planned(TABLE) == set()
    write(empty.path("joined.root"), 0, "more", 201)
    assert empty.planned(TABLE) == {"ingest/pseudodata.parquet"}, "files of joined trees are inputs"
    empty.run(TABLE, cores=1)
    write(served.folder / "a.root", 1000, "near")
    assert empty.planned(TABLE) == {"ingest/pseudodata.parquet"}, "the remote file changed"
    served.shutdown()
    served.server_close()
    assert empty.planned(TABLE) == set(), "a plan without a network goes by what the last one was told"
    empty.study(lambda s: s["samples"]["pseudodata"]["read"].update(files=["b.root", f"{served.address}/c.root"]))
    assert empty.planned(TABLE) == {"ingest/pseudodata.parquet"}
    empty.edit("src/truthward/run/files.py", "WAITS = (1.0, 4.0, 16.0)", "WAITS = (0.1,)")
    done = empty.call(TABLE, "--cores", "1", "--configfile", "study.yaml")
    assert done.returncode != 0
    assert f"InputError: {served.address}/c.root: cannot be read (ClientConnectorError" in done.stdout + done.stderr
