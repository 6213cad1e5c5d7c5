# make run    the default study, from nothing installed to the report (CONFIG=file for another)
# make watch  how the run of a study goes, here or on a cluster, until q (CONFIG as above)
# make test   lint, the docs site and every test
# make fast   the tests that run neither the workflow nor SLURM
# make lint   layout, lint and types
# make check  whether a study can run here: devices, packages, methods, and what would run and why (CONFIG=file)
# make audit  known vulnerabilities of the locked packages; fails on one, and where they could not be looked up
# make lock   resolve the .in files of envs/ anew
# make docs   the docs site, into site/
# make schema the JSON schema of publications, from its record, into docs/assets/
# make bench NAME=coverage [QUICK=1]
PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
TESTS ?=
CONFIG ?= config.yaml
STUDY = $(shell sed -n 's/^study: *//p' $(CONFIG))

.PHONY: run watch test fast lint check audit lock bench tables schema docs clean

run: .venv/.stamp
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES) --configfile $(CONFIG)
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --configfile $(CONFIG) --report results/$(STUDY)/report/report.html
	@echo "Look at results/$(STUDY)/report/summary.png, report.html, and results/$(STUDY)/validate/methods.md"

watch: .venv/.stamp
	@$(BIN)/truthward watch results/$(STUDY)

test: lint docs
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)

fast: .venv/.stamp
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not workflow and not cluster" $(TESTS)

lint: .venv/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy

check: .venv/.stamp
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/truthward check $(CONFIG)

bench: .venv/.stamp
	OMP_NUM_THREADS=1 QUICK=$(QUICK) $(BIN)/python benchmarks/$(NAME).py

schema: .venv/.stamp
	$(BIN)/python -c "from truthward.publish.verify import schema; from truthward.run.artefact import write_json; write_json('docs/assets/publication.schema.json', schema())"

tables: .venv/.stamp
	$(BIN)/python benchmarks/tables.py

# The stamp is written last: a half-built environment is built again.
.venv/.stamp: envs/requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("truthward needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@echo "Building .venv from envs/requirements.lock: about 120 packages, one to a few minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet --progress-bar off --prefer-binary --only-binary pythia8mc,fastjet,torch -r envs/requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $@

audit: .venv-audit/.stamp
	.venv-audit/bin/python envs/audit.py

# An environment of its own: the auditor's packages are not those of the lock.
.venv-audit/.stamp: Makefile
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --disable-pip-version-check --quiet --progress-bar off pip-audit==2.10.1
	touch $@

lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --prefer-binary --only-binary pythia8mc,fastjet,torch -r envs/requirements.in -r envs/dev.in -r envs/hepmc.in -r envs/remote.in setuptools
	.venv-lock/bin/python envs/lock.py > envs/.requirements.lock && mv envs/.requirements.lock envs/requirements.lock
	rm -rf .venv-lock

docs: .venv/.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf results/*/ .snakemake .venv .venv-audit site
