"""A new stage is a folder, a file of rules and an adapter; a study may have nothing else."""

import json

import pytest
import yaml

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

FILES = {
    "src/truthward/area/__init__.py": '"""The area of a circle, by random points."""\n',
    "src/truthward/area/section.py": '''"""The section `area` of a config."""

from pydantic import Field

from truthward.study.strict import Strict


class Area(Strict):
    """How many points."""

    points: int = Field(1000, ge=10)
''',
    "src/truthward/area/stage.py": '''"""The area of a circle of radius one."""

import numpy as np

from truthward.run.artefact import write_json
from truthward.study.seeds import seed_for


def area_stage(output, *, points, seed, record):
    """Area, by points that are drawn in a square."""
    rng = np.random.default_rng(seed_for(seed, "area"))
    inside = (rng.uniform(-1, 1, (points, 2)) ** 2).sum(axis=1) < 1
    write_json(output, {"area": 4 * inside.mean(), "points": points, "provenance": record.finish(events_out=points)})
''',
    "rules/area.smk": """rule area_all:
    input:
        f"{RESULTS}/area/area.json",


rule area:
    output:
        "results/{study}/area/area.json",
    log:
        "results/{study}/logs/area.log",
    params:
        spec=spec(area=STUDY.area.model_dump()),
        code=code("area"),
    script:
        "../workflow/scripts/area.py"
""",
    "workflow/scripts/area.py": """from truthward.run.job import Job

with Job(snakemake) as job:
    from truthward.area.stage import area_stage

    area_stage(job.output[0], **job.spec["area"], seed=job.seed, record=job.record)
""",
}


@pytest.fixture
def with_area(empty):
    """A clone with one more stage."""
    for name, text in FILES.items():
        path = empty.path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    config = "src/truthward/study/config.py"
    empty.edit(
        config, "    report: Report = Report()\n", "    report: Report = Report()\n    area: Area | None = None\n"
    )
    empty.edit(config, "from truthward.ingest", "from truthward.area.section import Area\nfrom truthward.ingest")
    empty.edit("src/truthward/layers.py", '    "report": 5,', '    "report": 5,\n    "area": 4,')
    return empty


def test_a_study_may_have_nothing_but_a_stage_of_its_own(with_area) -> None:
    study = {"study": "circle", "seed": 3, "area": {"points": 20000}}
    with_area.path("study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    assert with_area.planned() == {"area/area.json"}
    with_area.run()
    found = json.loads(with_area.path("results/circle/area/area.json").read_text(encoding="utf-8"))
    assert found["area"] == pytest.approx(3.1416, abs=0.05)
    assert with_area.planned() == set()
    # What the stage reaches reruns it, and so does its section; the rest of the house does not.
    with_area.edit("src/truthward/unfold/ibu.py", "from __future__", "CHANGED = 1\nfrom __future__")
    assert with_area.planned() == set()
    with_area.study(lambda content: content["area"].update(points=30000))
    assert with_area.planned() == {"area/area.json"}


def test_an_unfolding_does_not_see_a_stage_that_it_does_not_have(with_area) -> None:
    assert not [name for name in with_area.planned() if name.startswith("area")]
    with_area.study(lambda content: content.update(area={"points": 100}))
    assert [name for name in with_area.planned() if name.startswith("area")] == ["area/area.json"]


def test_a_section_that_needs_samples_says_so(empty) -> None:
    empty.study(
        lambda content: [content.pop(name, None) for name in ("samples", "systematics", "calibrate", "publish")]
    )
    done = empty.call("-n", "--configfile", "study.yaml")
    assert done.returncode == 1
    assert "samples: the stage surrogate needs samples, but none is given; add one with role simulation" in done.stderr
