"""The frame of every adapter: log file, threads, checks of code and inputs, resume state, provenance."""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from truthward.errors import TruthwardError
from truthward.run import checksums, digests, kept, launch
from truthward.run.artefact import remove_unfinished
from truthward.run.lock import locked
from truthward.run.provenance import Record

log = logging.getLogger("truthward")


class Job:
    """Context of one job: `with Job(snakemake) as job: ...`.

    Attributes:
        spec: the spec of the rule; the job reads no other part of the config.
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
        gpus = launch.gpus(snakemake.resources)
        parts = [self.spec, self._code["digest"], self._code["environment"], inputs]
        # Several processes train on larger batches: a resume state belongs to one number of processes.
        text = json.dumps([*parts, gpus] if gpus > 1 else parts, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]
        beside = self._outputs[0].parent
        self._states = beside / f".{self._outputs[0].name}.state"
        self.state = self._states / self.key
        self._held = ExitStack()
        self._rank, self._gpus = launch.rank(), gpus
        self._discarded = beside / f".{self._outputs[0].name}.rank{self._rank}"
        if self._rank:
            # The other processes make the same artefacts for themselves; those of the first one are kept.
            self.output = snakemake.output.__class__(
                toclone=snakemake.output, custom_map=lambda name: str(self._discarded / name)
            )

    def __enter__(self) -> Job:
        threads = max(1, self.threads // max(1, self._gpus))
        # Before numpy or torch are imported: they read these once.
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)
        os.environ[launch.GIVEN] = str(self._gpus)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        if self._rank is None:
            self._log_file.write_text("", encoding="utf-8")
        # Banners that libraries print from C++ also go to the log of the job.
        with self._log_file.open("a") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
        handler = logging.FileHandler(self._log_file, mode="a", encoding="utf-8")
        process = f" process {self._rank}:" if self._rank else ""
        handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s{process} %(message)s", "%H:%M:%S"))
        handler.setLevel(logging.ERROR if self._rank else logging.INFO)
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").addHandler(handler)
        if self._rank is not None:
            launch.end_with_torchrun()
        if not self._rank:
            self._prepare()
        if self._rank is None and self._gpus > 1:
            log.info("rule %s: %d GPUs, one process each through torchrun", self.rule, self._gpus)
            self._held.close()
            launch.torchrun(self._gpus)
        self.record = Record(self.rule, self.spec, str(self._code["digest"]), self.seed)
        log.info("rule %s starts: seed %d, threads %d", self.rule, self.seed, threads)
        return self

    def _prepare(self) -> None:
        """Check code and inputs once, lock the artefacts, and remove old ones."""
        # Beside the log, which is this job's alone; a stage may replace the folder of its artefacts.
        lock = self._log_file.with_name(f".{self._log_file.name}.lock")
        self._held.enter_context(locked(lock, str(self._outputs[0])))
        if self._rank is None:
            try:
                digests.check(self._adapter, self._code)
                for path in checksums.verify(self.input):
                    log.info("%s: no checksum is recorded; taken as it is", path)
            except TruthwardError as error:
                self.__exit__(type(error), error, None)
            if kept.take_up(self._outputs, self.state):
                log.info("rule %s was done by a job of the same key that outlived its call: nothing to do", self.rule)
                self._held.close()
                sys.exit(0)
            for left in self._discarded.parent.glob(f"{glob.escape(self._discarded.stem)}.rank*"):
                shutil.rmtree(left, ignore_errors=True)
        checksums.forget(self.output)
        for path in self._outputs:
            remove_unfinished(path)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if self._rank:
            shutil.rmtree(self._discarded, ignore_errors=True)
        with self._held:
            return self._end(error)

    def _end(self, error: BaseException | None) -> bool:
        if error is None and self._rank:
            return False
        if error is None:
            try:
                checksums.record(self.output, self.rule)
            except TruthwardError as trouble:
                return self._end(trouble)
            shutil.rmtree(self._states, ignore_errors=True)
            kept.keep(self._outputs, self.state)
            # `run.forecast` reads this line.
            wall, cpu = time.perf_counter() - self.record.started, sum(os.times()[:4])
            log.info("rule %s is done: %.1f s, %.1f s of CPU time", self.rule, wall, cpu)
            return False
        if isinstance(error, TruthwardError):
            # A typed error: its message is complete, and a traceback would hide it.
            log.error("%s: %s", type(error).__name__, error)
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
        log.error("rule %s failed", self.rule, exc_info=error)
        return False
