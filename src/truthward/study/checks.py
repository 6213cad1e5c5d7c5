"""Read a config: check its form by the schema, then what the schema cannot check. Each mistake is one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import BaseModel, ValidationError

from truthward.errors import ConfigError
from truthward.study import plugins
from truthward.study.agreement import check_agreement
from truthward.study.columns import check_map, check_selection, level_of, selected
from truthward.study.config import Config, Sample
from truthward.study.join import joins_of
from truthward.study.named import ROLES, check_features, check_named, need, reco_features
from truthward.study.objects import EVENTS, collections_of
from truthward.study.predictions import check_predictions
from truthward.study.processes import check_processes
from truthward.study.sources import check_sources
from truthward.study.strict import section_in
from truthward.study.variations import variation_of

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""Names are parts of paths: a name cannot leave `results/`, and it is short enough for file names."""
_ENDS = re.compile(r"</script|<!--", re.IGNORECASE)
"""Snakemake writes the params of rules unchanged into a script of its report: such text would end that script and run
as code."""
_TAKEN = ("methods", "calibrate", "stress")
NEED_SAMPLES = {
    "calibrate",
    "systematics",
    "surrogate",
    "amplify",
    "unfold",
    "validate",
    "publish",
    "compare",
    "report",
}
"""Stages that work on event tables."""
DEEPEST, MOST = 20, 100_000
"""Largest depth and number of values of a config: nested YAML aliases can expand beyond any memory."""


def load(path: str | Path) -> Config:
    """Read and check a config file.

    Raises:
        ConfigError: one line that names the file, the key, what was given and what is valid.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    except (ValueError, RecursionError) as error:
        # Raised for dates such as 2024-13-01, and for thousands of brackets.
        raise ConfigError(f"{path}: not readable as YAML ({error}); write dates in quotes") from error
    return parse(content, str(path))


def parse(content: Any, where: str = "config") -> Config:
    """Check a config given as a dictionary; see `load`."""
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: a mapping is expected, got {type(content).__name__}")
    try:
        _refuse_odd(content)
        config = Config.model_validate(content)
        check(config)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_one_line(error.errors()[0])}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return config


def _refuse_odd(content: dict[Any, Any]) -> None:
    """Refuse values that no key may have: they would end a job hours later, in JSON or in a file name."""
    waiting: list[tuple[str, Any, int]] = [("", content, 0)]
    for seen, (key, value, depth) in enumerate(_unfolding(waiting)):
        if seen > MOST or depth > DEEPEST:
            raise ConfigError(f"{key[:80]}: more than {DEEPEST} levels or {MOST} values; take out aliases (`*name`)")
        odd: list[Any] = []
        if isinstance(value, str):
            control = any((c < " " and c not in "\n\t") or "\ud800" <= c <= "\udfff" for c in value)
            odd = [value] if control or _ENDS.search(value) else []
        elif isinstance(value, dict):
            odd = [k for k in value if not isinstance(k, str) or not k.isprintable() or _ENDS.search(k)]
        elif isinstance(value, int | float):
            odd = [value] if not abs(value) <= 2**63 else []
        elif not isinstance(value, list | tuple | None):
            odd = [value]
        if odd:
            raise ConfigError(
                f"{key or 'config'}: {plugins.shown(odd[0])} found; valid: text without control characters, "
                "`</script` and `<!--` (dates in quotes), finite numbers up to 2^63, true, false, "
                "null, lists, and mappings with text as keys"
            )


def _unfolding(waiting: list[tuple[str, Any, int]]) -> Iterator[tuple[str, Any, int]]:
    """Every value with its key and depth; the children of a value come after it."""
    while waiting:
        key, value, depth = waiting.pop()
        yield key, value, depth
        if isinstance(value, dict):
            waiting += [(f"{key}.{k}" if key else k, v, depth + 1) for k, v in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(key, v, depth + 1) for v in value]


def _one_line(error: Mapping[str, Any]) -> str:
    """One pydantic error as `key: what was given; what is valid`."""
    location = [part for part in error["loc"] if not isinstance(part, int)]
    key = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        valid = _fields_at(location[:-1])
        return f"{key}: no such key; valid: {', '.join(valid)}{plugins.nearest(str(location[-1]), valid)}"
    if error["type"] == "missing":
        return f"{key}: this key is needed"
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']}"
    return f"{key}: {plugins.shown(error['input'])} given; {error['msg'][0].lower()}{error['msg'][1:]}"


def _fields_at(location: list[Any]) -> list[str]:
    """Valid keys of the section at a location, walking the models by their annotations."""
    model: type[BaseModel] = Config
    for part in location:
        fields = {f.alias or n: f for n, f in model.model_fields.items()}
        if part in fields:
            model = section_in(fields[part].annotation) or model
    return [f.alias or n for n, f in model.model_fields.items()]


def check(config: Config) -> None:
    """Check a config whose form is valid.

    Raises:
        ConfigError: one line that names the key, what was given and what is valid.
    """
    _check_names(config)
    if config.samples:
        _check_samples(config)
    elif needing := [stage for stage in config.stages() if stage in NEED_SAMPLES]:
        raise ConfigError(
            f"samples: the stage {needing[0]} needs samples, but none is given; add one with role simulation and one "
            "with role data"
        )
    _check_models(config)
    if "unfold" in config.model_fields_set and not config.unfold.methods:
        raise ConfigError(
            "unfold.methods: no method is given, at least one is needed; valid kinds: "
            f"{', '.join(plugins.kinds('unfold'))}"
        )
    if config.unfold.methods:
        _check_methods(config)
    if config.samples:
        check_named(config)
    if config.publish is not None and config.publish.method not in config.unfold.methods:
        raise ConfigError(
            f"publish.method: {config.publish.method!r} is not one of unfold.methods: "
            f"{', '.join(config.unfold.methods) or 'there is none'}"
            f"{plugins.nearest(config.publish.method, config.unfold.methods)}"
        )
    check_predictions(config)
    if config.unfold.methods:
        check_agreement(config)


def _check_names(config: Config) -> None:
    for where, names in (
        ("study", [config.study]),
        ("samples", config.samples),
        ("observables", config.observables),
        ("systematics", config.systematics),
        ("surrogate.models", config.surrogate.models),
        ("unfold.methods", config.unfold.methods),
        ("compare.predictions", config.compare.predictions if config.compare else ()),
    ):
        if odd := [name for name in names if not NAME.fullmatch(name)]:
            raise ConfigError(
                f"{where}: {plugins.shown(odd[0])} is not a valid name; use letters, digits and _ only, begin with a "
                "letter, and take 64 characters at most"
            )
    if taken := [n for n in config.unfold.methods if n in _TAKEN]:
        raise ConfigError(f"unfold.methods: {taken[0]!r} is reserved for a file in validate/; choose another name")
    if jagged := [n for n in config.observables if n.startswith("constituents_")]:
        raise ConfigError(
            f"observables.{jagged[0]}: names that begin with constituents_ are reserved for lists of particles; choose "
            "another name"
        )


def _check_samples(config: Config) -> None:
    for role, few in (("simulation", "at least"), ("data", "exactly")):
        found = [n for n, s in config.samples.items() if s.role == role]
        if not found or (len(found) > 1 and role == "data"):
            raise ConfigError(f"samples: {few} one sample with role {role} is needed, found {found or 'none'}")
    if not config.observables:
        raise ConfigError("observables: no observable is given, at least one is needed; add one such as `m: {...}`")
    check_selection(config.selection.model_dump())
    for name, sample in config.samples.items():
        _check_sample(f"samples.{name}", sample)
    for level, roles in ROLES.items():
        for name in config.observables:
            need(config, f"observables.{name}", level, [name], roles)
    _check_selected(config)
    check_processes(config)
    check_sources(config)
    if config.calibrate is not None:
        plugins.check("calibrate", config.calibrate, "calibrate")
        _check_calibrated(config, config.calibrate)


def _check_models(config: Config) -> None:
    for name, entry in config.surrogate.models.items():
        _check_model(entry, f"surrogate.models.{name}")
    if config.amplify is not None and not config.surrogate.models:
        raise ConfigError(
            "amplify: this stage needs a model, but surrogate.models is empty; add a model there, or set `amplify: "
            "null`"
        )


def _check_model(entry: dict[str, Any], where: str) -> None:
    """Check the entry of a model, and of its teacher if it has one."""
    plugins.check("models", entry, where, given=("dimensions", "conditions"))
    if "teacher" in entry:
        _check_model(entry["teacher"], f"{where}.teacher")


def _check_methods(config: Config) -> None:
    check_features(config)
    for name, entry in config.unfold.methods.items():
        where = f"unfold.methods.{name}"
        plugins.check("unfold", entry, where)
        for unknown in [o for o in entry.get("observables", ()) if o not in config.observables]:
            _refuse_observable(config, f"{where}.observables", unknown)
        if plugins.option("unfold", entry, "stop.rule") == "closure" and "closure" not in config.kinds().values():
            raise ConfigError(
                f"{where}.stop.rule: closure needs pseudo-data with a known truth, but no systematic has the kind "
                "closure; add `closure: {kind: closure}` to systematics, or set `stop: {rule: change}`"
            )
        if "model" in entry:
            _check_model(entry["model"], f"{where}.model")
    fit = config.validate_.fit
    if fit is not None and fit.observable not in config.observables:
        _refuse_observable(config, "validate.fit.observable", fit.observable)


def _refuse_observable(config: Config, where: str, name: str) -> NoReturn:
    raise ConfigError(
        f"{where}: {name!r} is not one of observables: "
        f"{', '.join(config.observables)}{plugins.nearest(name, config.observables)}"
    )


def _check_calibrated(config: Config, entry: Mapping[str, Any]) -> None:
    scaled = plugins.option("calibrate", dict(entry), "scales") or []
    if not set(scaled) & (set(config.observables) | reco_features(config)):
        raise ConfigError(
            f"calibrate.scales: none of {', '.join(scaled)} is an observable or a feature, so the calibration would "
            "change nothing; add one to `observables`, or set `calibrate: null`"
        )


def _check_reader(where: str, entry: dict[str, Any]) -> tuple[plugins.Schema, dict[str, Any]]:
    """The schema of a reader, and its map of columns where it has one."""
    found = plugins.check("events.readers", entry, where)
    if found.provides_from is None:
        return found, {}
    mapped, key = entry.get(found.provides_from) or {}, f"{where}.{found.provides_from}"
    if not mapped and not entry.get("same_names"):
        raise ConfigError(
            f"{key}: nothing is mapped; write `column: branch`, such as reco_m: jet_mass, or `same_names: true` where "
            "branches have the names of columns"
        )
    check_map(mapped, key)
    if "join" in found.options:
        joins_of(entry.get("join", {}), f"{where}.join")
    if "collections" in found.options:
        collections_of(entry.get("collections", {}), entry.get("rows", EVENTS), f"{where}.collections")
    return found, mapped


def _check_selected(config: Config) -> None:
    """Check that each sample that is read provides the columns of the selection; a generator checks its own."""
    for level, names in selected(config.selection.model_dump()).items():
        for name, sample in config.samples.items():
            if sample.read is None or sample.read.get("same_names") or level not in sample.levels:
                continue
            found, mapped = _check_reader(f"samples.{name}.read", sample.read)
            known = set(mapped) | {f"{level}_{o}" for o in found.provides}
            if lack := sorted(names - known):
                raise ConfigError(
                    f"selection.{level}: samples.{name}.read does not provide {lack[0]}; it provides "
                    f"{', '.join(sorted(c for c in known if level_of(c) == level))}{plugins.nearest(lack[0], known)}"
                )


def _check_sample(where: str, sample: Sample) -> None:
    if sample.read is None:
        plugins.check("physics.generators", sample.source[1], f"{where}.generate")
        return
    found, mapped = _check_reader(f"{where}.read", sample.read)
    if sample.closure_read is not None:
        _check_reader(f"{where}.closure_read", sample.closure_read)
    if sample.read.get("same_names"):  # What its files have is known only when they are opened.
        return
    varied = [c for c in mapped if variation_of(c)]
    if varied and sample.role not in ("simulation", "background"):
        raise ConfigError(
            f"{where}.read.{found.provides_from}.{varied[0]}: this column is a variation, but the sample has the role "
            f"{sample.role}; only the simulation has variations: remove this column"
        )
    if sample.role == "data" and any(c.startswith("truth_") for c in mapped) and not sample.closure:
        raise ConfigError(
            f"{where}.read.{found.provides_from}: the map of a data sample has truth columns; remove them, or set "
            "`closure: true` to keep the truth apart, for validation only"
        )
