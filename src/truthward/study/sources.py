"""Sources of uncertainty: checks between them, and with the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from truthward.errors import ConfigError
from truthward.study import plugins
from truthward.study.named import ROLES, provided
from truthward.study.slices import varied_in
from truthward.study.variations import missing

if TYPE_CHECKING:
    from truthward.simulate.section import Sample
    from truthward.study.config import Config


def check_sources(config: Config) -> None:
    """Check `systematics` as a whole; each entry has been checked alone.

    Raises:
        ConfigError: as `checks.check`.
    """
    others = {n for n, s in config.samples.items() if s.role == "alternative"}
    used = {name: s.sample for name, s in config.systematics.items() if s.sample is not None}
    for name, sample in used.items():
        if sample not in others:
            raise ConfigError(
                f"systematics.{name}.sample: {sample!r} is not a sample with role alternative: "
                f"{', '.join(sorted(others)) or 'there is none'}{plugins.nearest(sample, others)}"
            )
    if unused := sorted(others - set(used.values())):
        raise ConfigError(
            f"samples.{unused[0]}: role alternative, but no systematic uses it; add "
            f"systematics.<name>: {{kind: alternative, sample: {unused[0]}}}"
        )
    sources = [source for name, s in config.systematics.items() for source in s.sources(name)]
    if "calibration" in sources:
        raise ConfigError(
            "systematics.calibration: this name is reserved for the members of the calibrator; choose another name"
        )
    if twice := sorted({s for s in sources if sources.count(s) > 1}):
        raise ConfigError(
            f"systematics.{twice[0]}: a truth_ column of a systematic of kind hidden has this name already; choose "
            "another name"
        )
    for kind in ("closure", "regularisation"):
        same = [n for n, s in config.systematics.items() if s.kind == kind]
        if len(same) > 1:
            raise ConfigError(
                f"systematics.{same[1]}: {same[0]} has the kind {kind} already, and only one systematic may have it; "
                "remove one of them"
            )
    _check_hidden(config)
    for name in config.samples:
        if config.samples[name].role in ("simulation", "background"):
            _check_variations(config, name, config.samples[name])


def _check_variations(config: Config, name: str, sample: Sample) -> None:
    """Check that a sample has the variations of `systematics`; a background may lack all of one."""
    package, entry = sample.source
    made = entry.get("systematics", {}) if package == "physics.generators" else entry.get("branches") or {}
    wanted = config.variations()
    if sample.role == "background":
        own = set(made) | varied_in(made)
        wanted = {n: s for n, s in wanted.items() if n in own}
    if package == "physics.generators":
        where = f"samples.{name}.generate"
        if absent := [n for n in wanted if n not in made]:
            makes = "systematics" in plugins.schema("physics.generators", entry["kind"]).options
            way = f"add it to {where}.systematics" if makes else f"{entry['kind']} makes no variations: remove it"
            raise ConfigError(f"systematics.{absent[0]}: {where} does not make this variation; {way}")
        if large := [n for n, s in wanted.items() if s["replicas"] > 2]:
            raise ConfigError(
                f"systematics.{large[0]}.replicas: {wanted[large[0]]['replicas']} given, but {where} "
                "makes two variations, up and down; set it to 2 at most"
            )
        return
    if made and not entry.get("same_names") and (lack := missing(wanted, made)):
        raise ConfigError(f"samples.{name}.read.branches: {lack}; map it, or ask for fewer replicas")


def _check_hidden(config: Config) -> None:
    """Check that hidden columns are not unfolded, and that the maps of the samples provide them."""
    for name, systematic in config.systematics.items():
        for column in systematic.columns:
            if (bare := column.removeprefix("truth_")) in config.observables:
                raise ConfigError(
                    f"systematics.{name}.columns: {column!r} is unfolded, but a hidden quantity must not be; remove it "
                    "here or from `observables`"
                )
            levels = ("truth",) if column != bare else ("truth", "reco")
            for sample, entry in config.samples.items():
                if entry.role == "alternative" and sample != systematic.sample:
                    continue
                for level in (lv for lv in levels if entry.role in ROLES[lv]):
                    known = provided(config, entry, level, calibrated=False)
                    if known is not None and bare not in known:
                        other = f"; write truth_{bare} if it exists at truth level only" if level == "reco" else ""
                        raise ConfigError(
                            f"systematics.{name}.columns: samples.{sample} does not provide {level}_{bare}{other}; it "
                            f"provides {', '.join(sorted(known))}"
                        )
