"""The chain: simulate -> ingest -> calibrate, surrogate -> amplify, unfold -> validate -> publish -> report.

Stop points: simulate_all, ingest_all, calibrate_all, systematics_all, surrogate_all, amplify_all, unfold_all,
validate_all, publish_all; and stress_all, which is part of the whole where the config has `validate.stress`.
"""

import sys

from snakemake.utils import min_version

import truthward.study.checks
from truthward.cli import verdicts
from truthward.run.array_task import become_own_job
from truthward.errors import ConfigError
from truthward.study.notes import notes

min_version("9.0")
become_own_job()


if not workflow.configfiles:

    configfile: "config.yaml"


try:
    STUDY = truthward.study.checks.parse(config, ", ".join(map(str, workflow.configfiles)))
except ConfigError as error:
    sys.exit(f"ConfigError: {error}")


onstart:
    print(*notes(STUDY), sep="\n", file=sys.stderr)


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
include: "rules/simulate.smk"
include: "rules/ingest.smk"
include: "rules/calibrate.smk"
include: "rules/systematics.smk"
include: "rules/surrogate.smk"
include: "rules/amplify.smk"
include: "rules/unfold.smk"
include: "rules/validate.smk"
include: "rules/stress.smk"
include: "rules/publish.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        rules.simulate_all.input,
        rules.ingest_all.input,
        rules.calibrate_all.input,
        rules.systematics_all.input,
        rules.surrogate_all.input,
        rules.amplify_all.input,
        rules.unfold_all.input,
        rules.validate_all.input,
        rules.stress_all.input if STUDY.validate_.stress else [],
        rules.publish_all.input,
        rules.report_all.input,
