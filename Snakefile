"""A study is any set of sections of a config; each is a stage with a file of rules.

The chain of an unfolding: simulate -> ingest -> calibrate, systematics, surrogate -> amplify, unfold -> validate ->
publish -> report. Stop points: <stage>_all of each stage that the study has; and stress_all, which is part of the whole
where the config has `validate.stress`.
"""

import sys

from snakemake.utils import min_version

from truthward.run import progress, verdicts
from truthward.errors import ConfigError, InputError
from truthward.run.array_task import become_own_job
from truthward.study import checks
from truthward.study.notes import notes

min_version("9.0")
become_own_job()


if not workflow.configfiles:

    configfile: "config.yaml"


try:
    STUDY = checks.parse(config, ", ".join(map(str, workflow.configfiles)))
except ConfigError as error:
    sys.exit(f"ConfigError: {error}")


onstart:
    print(*notes(STUDY), sep="\n", file=sys.stderr)
    progress.follow(workflow, log, Path(RESULTS) / "logs")


onsuccess:
    kept.forget(RESULTS, recorded)
    print(verdicts.shown(Path(RESULTS), METHODS), file=sys.stderr)


onerror:
    kept.forget(RESULTS, recorded)
    print(verdicts.shown(Path(RESULTS), METHODS), file=sys.stderr)


# Of no effect but with `--software-deployment-method apptainer`; envs/container.def says how it is built.
container: "envs/truthward.sif"


report: "workflow/report/workflow.rst"


include: "rules/common.smk"


for stage in STUDY.stages():

    include: f"rules/{stage}.smk"


rule all:
    default_target: True
    input:
        [getattr(rules, f"{stage}_all").input for stage in STUDY.stages()],
