"""Logs of a call of Snakemake, as it writes them with SLURM."""

LOG = """Building DAG of jobs...
Job stats:
job           count
----------  -------
simulate          3
ingest            2
publish           1
all               1
total             7

Select jobs to execute...
[Sun Nov 22 15:40:54 2026]
rule simulate:
    output: results/toy/simulate/a/0.root
    log: results/toy/logs/simulate/a.0.log
    jobid: 1
    reason: Missing output files: results/toy/simulate/a/0.root
[Sun Nov 22 15:40:54 2026]
rule simulate:
    output: results/toy/simulate/a/1.root
    log: results/toy/logs/simulate/a.1.log
    jobid: 2
[Sun Nov 22 15:40:54 2026]
rule simulate:
    output: results/toy/simulate/a/2.root
    log: results/toy/logs/simulate/a.2.log
    jobid: 3
Submitted array job with Snakemake IDs 1,2,3 and SLURM job ID 70. The individual task IDs are 1-3.
[Sun Nov 22 15:41:08 2026]
Finished jobid: 1 (Rule: simulate)
1 of 7 steps (14%) done
[Sun Nov 22 15:41:08 2026]
Error in rule simulate:
    message: SLURM-job '70_2' failed
    jobid: 2
    output: results/toy/simulate/a/1.root
    log: results/toy/logs/simulate/a.1.log (check log file(s) for error details)
"""
AGAIN = """Trying to restart job 2.
rule simulate:
    output: results/toy/simulate/a/1.root
    log: results/toy/logs/simulate/a.1.log
    jobid: 2
Job 2 has been submitted with SLURM jobid 80 (log: .snakemake/slurm_logs/rule_simulate/toy_a_1/80.log).
"""
GROUP = """[Sun Nov 22 15:41:33 2026] Group job ingested (jobs in lexicogr. order):
    [Sun Nov 22 15:41:33 2026]
    rule ingest:
        output: results/toy/ingest/a.parquet
        log: results/toy/logs/ingest/a.log
        jobid: 4
Job 3f2c has been submitted with SLURM jobid 90 (log: .snakemake/slurm_logs/group_x/90.log).
"""
