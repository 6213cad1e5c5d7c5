"""What every adapter does around its stage: log file, threads, checks of code and inputs, resume state, provenance."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from truthward import checksums, fingerprint, kept
from truthward.artefact import remove_unfinished
from truthward.errors import TruthwardError
from truthward.lock import locked
from truthward.provenance import Record

log = logging.getLogger("truthward")


class Job:
    """Context of one job: `with Job(snakemake) as job: ...`.

    Attributes:
        spec: what the rule declared; the only part of the config that the job may know.
        input, output: as the rule declares them.
        state: folder for resume state, undeclared, of this key alone; removed on success.
        key: digest of spec, code, locked packages and inputs: what belongs to another is never taken up.
        record: opened provenance.
    """

    def __init__(self, snakemake: Any) -> None:
        self.spec: dict[str, Any] = snakemake.params.spec
        self.input, self.output, self.wildcards = snakemake.input, snakemake.output, snakemake.wildcards
        self.threads = snakemake.threads
        self.rule = snakemake.rule
        self._log_file = Path(snakemake.log[0])
        self._code = snakemake.params.code
        self._adapter = Path(snakemake.scriptdir) / f"{snakemake.rule}.py"
        self.seed = int(self.spec.get("seed", 0))
        self._outputs = [Path(name) for name in snakemake.output]
        inputs = [checksums.identity(name) for name in snakemake.input]
        text = json.dumps([self.spec, self._code["digest"], self._code["environment"], inputs], sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._states = self._outputs[0].parent / f".{self._outputs[0].name}.state"
        self.state = self._states / self.key
        self._held = ExitStack()

    def __enter__(self) -> Job:
        # Before numpy or torch are imported: they read these once.
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(self.threads)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._log_file.write_text("", encoding="utf-8")
        # Banners that libraries print from C++ go to the job's log as well.
        with self._log_file.open("a") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
        handler = logging.FileHandler(self._log_file, mode="a", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").addHandler(handler)
        # Beside the log, which is this job's alone; a stage may replace the folder of its artefacts.
        lock = self._log_file.with_name(f".{self._log_file.name}.lock")
        self._held.enter_context(locked(lock, str(self._outputs[0])))
        try:
            fingerprint.check(self._adapter, self._code)
            for path in checksums.verify(self.input):
                log.info("%s: no checksum is recorded; taken as it is", path)
        except TruthwardError as error:
            self.__exit__(type(error), error, None)
        if kept.take_up(self._outputs, self.state):
            log.info("rule %s was done by a job of the same key that outlived its call: nothing to do", self.rule)
            self._held.close()
            sys.exit(0)
        checksums.forget(self.output)
        for path in self._outputs:
            remove_unfinished(path)
        self.record = Record(self.rule, self.spec, str(self._code["digest"]), self.seed)
        log.info("rule %s starts: seed %d, threads %d", self.rule, self.seed, self.threads)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        with self._held:
            return self._end(kind, error, trace)

    def _end(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is None:
            checksums.record(self.output, self.rule)
            shutil.rmtree(self._states, ignore_errors=True)
            kept.keep(self._outputs, self.state)
            log.info("rule %s is done", self.rule)
            return False
        if isinstance(error, TruthwardError):
            # Expected trouble: its message says it all, a traceback would bury it.
            log.error("%s: %s", kind.__name__, error)
            print(f"{kind.__name__}: {error}", file=sys.stderr)
            sys.exit(1)
        log.error("rule %s failed", self.rule, exc_info=(kind, error, trace))
        return False
