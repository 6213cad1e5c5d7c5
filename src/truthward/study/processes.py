"""Several simulated samples, and what makes their weights absolute: checks before the first job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from truthward.errors import ConfigError
from truthward.study import plugins
from truthward.study.config import MERGED
from truthward.study.slices import difference, of_levels

if TYPE_CHECKING:
    from truthward.simulate.section import Sample
    from truthward.study.config import Config


def check_processes(config: Config) -> None:
    """Check names, normalisation, columns and particle levels of the simulated samples, and what `certified` needs.

    Raises:
        ConfigError: as `checks.check`.
    """
    merged = config.merged()
    if merged and MERGED in config.samples:
        raise ConfigError(
            f"samples.{MERGED}: this name is reserved for the table into which {', '.join(merged)} are merged; choose "
            "another name"
        )
    if (signal := config.samples.get("signal")) and signal.role == "background":
        raise ConfigError(
            "samples.signal: a background has the name of its sample as process, and `signal` is what is unfolded; "
            "choose another name"
        )
    _check_normalisation(config)
    _check_columns(config, merged)
    levels = config.particle_levels()
    if len(levels) > 1 and not (config.publish and config.publish.particle_level):
        said = "; ".join(f"samples.{name}: {level}" for level, name in levels.items())
        raise ConfigError(
            f"samples: slices of different particle levels ({said}); generate them alike, or state the common one in "
            "publish.particle_level"
        )
    for name, sample in config.samples.items():
        if sample.certified is not None:
            _check_certified(name, sample)


def _check_normalisation(config: Config) -> None:
    """All simulation that is read has a cross section, or none."""
    scaled = [name for name, s in config.samples.items() if s.cross_section is not None]
    if scaled and config.luminosity is None:
        raise ConfigError(
            f"samples.{scaled[0]}.cross_section: needs the luminosity of the data; add `luminosity: {{value: ..., "
            "unit: fb-1}` to the study"
        )
    for name, sample in config.samples.items():
        bare = sample.read is not None and "cross_section" not in sample.model_fields_set
        if scaled and bare and sample.role != "data":
            raise ConfigError(
                f"samples.{name}: no `cross_section`, but samples.{scaled[0]} has one; add it (pb), or write "
                "`cross_section: null` where the weights are expected yields"
            )
    if config.luminosity is not None and config.publish and config.publish.luminosity is not None:
        raise ConfigError("publish.luminosity: `luminosity` of the study says it already; remove it here")


def _check_columns(config: Config, merged: list[str]) -> None:
    """All samples that are merged have the columns of the first slice, as far as the config shows them."""
    known = {n: columns for n in merged if (columns := _columns(config.samples[n])) is not None}
    first = next((n for n in known if config.samples[n].role == "simulation"), "")
    for name in known if first else ():
        sample = config.samples[name]
        wanted, given = (of_levels(known[n], sample.levels) for n in (first, name))
        if text := difference(first, wanted, name, given, background=sample.role == "background"):
            raise ConfigError(text)


def _columns(sample: Sample) -> set[str] | None:
    """Columns of both levels and variations; None where only the files show them."""
    package, entry = sample.source
    schema = plugins.schema(package, entry["kind"])
    if sample.read is None or entry.get("same_names"):
        return None
    mapped = entry.get(schema.provides_from) if schema.provides_from else None
    return set(mapped or {f"{level}_{name}" for level in ("truth", "reco") for name in schema.provides})


def _check_certified(name: str, sample: Sample) -> None:
    entry = sample.read or {}
    option = plugins.schema("events.readers", entry["kind"]).provides_from
    mapped = entry.get(option or "") or {}
    if option and not entry.get("same_names") and (lack := [n for n in ("run", "lumi") if n not in mapped]):
        raise ConfigError(
            f"samples.{name}.certified: needs run and lumi of each event, but the map has no {lack[0]}; add it to "
            f"samples.{name}.read.{option}, such as `{lack[0]}: {'run' if lack[0] == 'run' else 'luminosityBlock'}`"
        )
