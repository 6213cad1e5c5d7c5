"""Check before any training whether the samples can be unfolded.

A mistake that would give a plausible wrong result is an error; a property that may be intended is a flag.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from truthward.errors import InputError
from truthward.events.contract import level_of
from truthward.events.table import EventTable
from truthward.ingest.bulk import (
    CONSTANT,
    edge_spikes,
    empty_regions,
    far_spikes,
    outliers,
    quantiles,
    share_of_commonest,
    size_of,
)
from truthward.ingest.declared import coarse, empty_atoms, odd, unused_atoms
from truthward.ingest.profile import SAMPLE, Column, Profile, profile_of
from truthward.ingest.sameness import lowest, of_levels, of_variations, repeated, shared
from truthward.study.observable import Observable

FEW_EFFECTIVE = 0.1
"""If the effective number of events over their number is smaller, few events dominate."""
FEW = 20
"""With fewer events, a constant column may be chance."""

log = logging.getLogger("truthward.ingest")


@dataclass
class Findings:
    """Errors, and flags by sample."""

    errors: list[str] = field(default_factory=list)
    flags: dict[str, list[str]] = field(default_factory=dict)

    def flag(self, sample: str, text: str) -> None:
        self.flags.setdefault(sample, []).append(text)


def examine(
    simulation: tuple[str, EventTable],
    data: tuple[str, EventTable],
    observables: Sequence[Observable],
    *,
    alternatives: Mapping[str, EventTable] | None = None,
    yield_difference: float | None = 0.2,
    seed: int = 0,
) -> dict[str, list[str]]:
    """Check all samples of a study, each with its name, from ranks.

    Args:
        simulation, data: name and event table; alternatives: name -> event table of another simulation.
        observables: those that are unfolded.
        yield_difference: see `ingest.section.Ingest`.
        seed: of the study; of large tables only a random part is used.

    Returns:
        Flags: sample -> texts, for every sample. They are also logged as warnings.

    Raises:
        InputError: mistakes that would give a plausible wrong result; all at once, one line for each.
    """
    nominal, measured = (profile_of(*s, observables, seed) for s in (simulation, data))
    others = [profile_of(name, table, observables, seed) for name, table in (alternatives or {}).items()]
    found = Findings(flags={p.name: [] for p in (nominal, measured, *others)})
    for profile in (nominal, measured, *others):
        _merged(profile, found)
        _flags_and_padding(profile, found)
        _weights(profile, found)
        for column in profile.columns.values():
            _column(column, found)
        for name, pair in profile.pairs.items():
            for text in of_levels(name, *pair):
                found.flag(profile.name, text)
    _sameness(nominal, measured, others, found)
    for observable in observables:
        every = [c for p in (nominal, measured, *others) for c in p.columns.values()]
        own = [c for c in every if c.observable is observable]
        _sentinels(own, found)
        for text in unused_atoms(own):
            found.flag(nominal.name, text)
        for text in empty_atoms(measured.columns["reco", observable.name], nominal.columns["reco", observable.name]):
            found.flag(measured.name, text)
    for simulated in (nominal, *others):
        _yields(simulated, measured, nominal, yield_difference, found)
        for observable in observables:
            _scales(simulated.columns["reco", observable.name], measured.columns["reco", observable.name], found)
            _efficiency(simulated.columns["truth", observable.name], found)
    for observable in observables:
        if not any(f"observables.{observable.name}: {measured.name}" in text for text in found.errors):
            _support(measured.columns["reco", observable.name], nominal.columns["reco", observable.name], found)
    for sample, texts in found.flags.items():
        for text in texts:
            log.warning("%s: %s", sample, text)
    if found.errors:
        raise InputError("\n  ".join(found.errors))
    return found.flags


def _merged(profile: Profile, found: Findings) -> None:
    """What the tables of the samples say that a profile was merged from, or its own."""
    origin = profile.table.metadata.get("origin", {})
    for name, own in origin.get("samples", {profile.name: origin}).items():
        if "," in (trees := own.get("tree", "")):
            found.flag(
                name,
                f"its files have different trees: {trees}; if one is a systematic, name the nominal one in `tree`",
            )
    for name, row in profile.table.metadata.get("samples", {}).items():
        if not row["accepted"]["reco"]:
            # A rare background may have none; a wrong unit has none either.
            found.flag(
                name, f"none of its {row['events']} events is accepted at reco level, so its yield counts as zero"
            )


def _flags_and_padding(profile: Profile, found: Findings) -> None:
    for level in profile.unflagged:
        n, samples = profile.accepted[level], profile.table.metadata.get("unflagged_in", {}).get(f"pass_{level}")
        whose = f" for {', '.join(samples)}: all their" if samples else f": all {n}"
        found.flag(
            profile.name,
            f"pass_{level} is not mapped{whose} events count as accepted at {level} level; map it if some are not",
        )
        counts = {c.name: c.padding for c in profile.columns.values() if c.level == level and c.padding}
        for name, padding in counts.items():
            value, events = max(padding.items(), key=lambda item: item[1])
            # These values belong to events that were not accepted; they would be unfolded as measured values.
            found.errors.append(
                f"{profile.name}: {events} of {n} events that count as accepted have {name} = {value:g}, and "
                f"pass_{level} is not mapped; map it (`pass_{level}: <branch> > {value:g}`), or, if the value means "
                f"something, declare `atoms: [{value:g}]` under observables.{name.partition('_')[2]}"
            )
        for name, padding in profile.others.items():
            # The column is not unfolded: no error, but the user should know it.
            if level_of(name) == level and padding:
                value, events = max(padding.items(), key=lambda item: item[1])
                found.flag(
                    profile.name, f"{name} is {value:g} in {events} events, but pass_{level} is not mapped; map it"
                )


def _weights(profile: Profile, found: Findings) -> None:
    # A rare event may have a large weight on purpose, and bootstraps show its effect: a flag.
    if profile.accepted["reco"] >= 100 and profile.largest > 0.05 * profile.absolute:
        found.flag(
            profile.name,
            f"one event has {profile.largest / profile.absolute:.0%} of the sum of weights at reco level "
            f"(weight {profile.largest:.4g}), so it dominates the result near its values; check `weight`",
        )
    events, effective = profile.accepted["reco"], profile.absolute**2 / profile.squares if profile.squares else 0.0
    if events >= 100 and effective < FEW_EFFECTIVE * events:
        found.flag(
            profile.name,
            f"the weights of {events} events at reco level go up to {profile.largest:.4g}, and the effective number of "
            f"events is {effective:.4g}: few events dominate the result; check `weight`",
        )
    low, high = profile.weights
    if profile.table.role == "data" and events and not low == high == 1:
        # Counted events have the weight 1; pre-scales and negative weights change their errors.
        span = f"all {low:.4g}" if low == high else f"from {low:.4g} to {high:.4g}"
        found.flag(profile.name, f"its weights are {span}, but counted events have the weight 1; check `weight`")


def _sameness(nominal: Profile, measured: Profile, others: Sequence[Profile], found: Findings) -> None:
    """Duplicate events, within a sample or in two samples, and variations that are equal to the nominal sample."""
    simulated = (nominal, *others)
    share = SAMPLE / max(1, *(p.table.num_rows for p in (*simulated, measured)))
    rows = {p.name: lowest(p.rows, share) for p in (*simulated, measured)}
    for profile in (*simulated, measured):
        other = nominal if profile is measured else measured
        if count := repeated(rows[profile.name], rows[other.name]):
            found.flag(
                profile.name,
                f"{count / rows[profile.name].size:.1%} of the events at reco level have the same observables as "
                "another event; check for duplicate events (all errors are too small then) and for rounded values",
            )
    for simulation in simulated:
        if count := shared(rows[measured.name], rows[simulation.name]):
            found.flag(
                measured.name,
                f"{count / rows[measured.name].size:.1%} of the events have the same observables at reco level "
                f"as an event of {simulation.name}: a closure test needs independent events",
            )
    for other in others:
        count = shared(rows[other.name], rows[nominal.name])
        if not count:
            continue
        text = f"{count / rows[other.name].size:.1%} of its events are events of {nominal.name}"
        if count >= 0.99 * rows[other.name].size and (other.total, other.squares) == (nominal.total, nominal.squares):
            # The study would claim a model uncertainty, but it would be zero by construction.
            found.errors.append(
                f"{other.name}: {text}, with the same weights, so this alternative gives no uncertainty; name other "
                "files"
            )
        else:
            found.flag(other.name, f"{text}: this alternative differs in little but its weights; check `files`")
    for text in of_variations(nominal.table):
        found.flag(nominal.name, text)


def _column(c: Column, found: Findings) -> None:
    """Check that a column varies and is within its declared range."""
    where, total = f"observables.{c.observable.name}: {c.sample}", c.count + c.atomic
    if text := odd(c):
        found.errors.append(f"{where}: {text}")
    if not c.values.size:
        # Only atoms: there is no density to unfold.
        if total >= FEW:
            found.errors.append(
                f"{where}: all {total} accepted events have {c.name} at a declared atom; map another branch, or "
                "correct `atoms`"
            )
        return
    value, count = share_of_commonest(c.values)
    if count >= CONSTANT * c.values.size and not c.atomic:
        text = f"{c.name} is {value:g} in {c.of_all(count)} of {total} accepted events"
        if c.values.size >= FEW:
            # Nothing can be unfolded from a constant, but the result would look normal.
            found.errors.append(f"{where}: {text}; it is a constant: map another branch, or remove the observable")
        else:
            found.flag(c.sample, f"{text}; it is a constant, or the sample has too few events")
        return
    low, high = c.observable.range
    text = (
        f"{c.inside} of {c.count} accepted events have {c.name} in the range [{low:g}, {high:g}] "
        f"(found {quantiles(c.values)})"
    )
    if c.inside < 0.5 * c.count:
        # Bins, figures and IBU would show only a tail, or nothing. Most often the unit is wrong.
        found.errors.append(
            f"{where}: {text}; check the unit (`{c.name}: <branch> / 1000`); if it is right, widen `range`, or "
            "restrict the events with `selection`"
        )
    elif c.inside < 0.9 * c.count:
        # A tail may be left out on purpose; unbinned methods unfold it nevertheless.
        found.flag(c.sample, f"{text}; tables and figures do not show the others")
    for text in coarse(c):
        found.flag(c.sample, text)
    for value, count in outliers(c.values, c.least, c.most):
        # Inputs are scaled by ranks, so one event has little effect; but it may be a mistake in the file.
        text = f"{c.name} is {value:.6g} in {count} of {c.count} events, far from all others ({quantiles(c.values)})"
        found.flag(c.sample, f"{text}; if this is no measurement, remove it with `selection`")


def _sentinels(columns: Sequence[Column], found: Findings) -> None:
    """Spikes outside of the bulk, in all samples of one observable together."""
    far: dict[float, list[str]] = {}
    for c in columns:
        if c.values.size and not (CONSTANT * c.values.size <= share_of_commonest(c.values).count):
            spikes = far_spikes(c.values)
            for value, count in spikes:
                far.setdefault(value, []).append(f"{count / c.values.size:.2%} of {c.name} in {c.sample}")
            bulk = c.values[~np.isin(c.values, [s.value for s in spikes])]
            for value, count in edge_spikes(bulk):
                # A physical boundary can have such a spike; if it is not declared, it is smeared, but not lost.
                text = f"{c.name} is {value:.7g} in {count / c.values.size:.2%} of the events, at the end of the others"
                found.flag(c.sample, f"{text}; if it is a special value, declare it with `{_atoms(c, value)}`")
    for value, places in far.items():
        c = columns[0]
        # A sentinel for "no value" would be used as a measurement: means, scales and bins would be wrong.
        found.errors.append(
            f"observables.{c.observable.name}: {value:.7g} is the value of {', '.join(places)}, far from all others; "
            f"it may be a sentinel: declare it with `{_atoms(c, value)}` under observables.{c.observable.name}, or "
            "select these events away with a pass flag"
        )


def _atoms(c: Column, value: float) -> str:
    return f"atoms: [{', '.join(f'{v:.7g}' for v in (*c.observable.atoms, value))}]"


def _yields(simulated: Profile, measured: Profile, nominal: Profile, limit: float | None, found: Findings) -> None:
    # An alternative without background is used with that of the simulation.
    more, squares = (0.0, 0.0) if simulated.background[0] else nominal.background
    s, d = simulated.total + more, measured.total
    for profile in (simulated, measured):
        if not profile.total > 0:
            found.errors.append(
                f"{profile.name}: its weights sum to {profile.total:.6g} at reco level, but a yield is positive; "
                "check `weight` and the fraction of negative weights"
            )
            return
    # With few events the difference may be chance: three sigma of both samples are allowed.
    if limit is None or abs(s - d) <= max(limit * d, 3 * math.sqrt(simulated.squares + squares + measured.squares)):
        return
    # Fakes, background and the unfolded yield would be wrong by this factor.
    with_it = f", with the background of {nominal.name}" if more else ""
    way = f"scale its weights by {(d - more) / simulated.total:.4g} (luminosity, cross section)"
    if "samples" in simulated.table.metadata or d <= more:
        way = "check luminosity, cross sections and sums of generator weights, sample by sample in samples.csv"
    found.errors.append(
        f"{simulated.name}: its weights sum to {s:.6g} at reco level{with_it}, {s / d:.3g} times the {d:.6g} of "
        f"{measured.name}; {way}, or, if the difference is "
        f"right, allow it with `ingest: {{yield_difference: {math.ceil(10 * abs(s / d - 1)) / 10:g}}}` (now "
        f"{limit:g}; null: any)"
    )


def _scales(simulated: Column, measured: Column, found: Findings) -> None:
    if not (simulated.values.size and measured.values.size):
        return
    theirs, ours = size_of(simulated.values, simulated.weights), size_of(measured.values, measured.weights)
    if not (theirs > 0 and ours > 0):
        return
    ratio = ours / theirs
    text = (
        f"{measured.name} ({quantiles(measured.values)}) is {ratio:.4g} times that of "
        f"{simulated.sample} ({quantiles(simulated.values)})"
    )
    if 300 < max(ratio, 1 / ratio) < 3000:
        # No prior is so wrong; the unit is (MeV or GeV).
        found.errors.append(
            f"observables.{measured.observable.name}: {measured.sample}: {text}; one may be in MeV, the other in GeV: "
            f"use one unit in both maps (`{measured.name}: <branch> {'/' if ratio > 1 else '*'} 1000` for "
            f"{measured.sample})"
        )
    elif max(ratio, 1 / ratio) > 5:
        found.flag(measured.sample, f"{text}; check that the units are the same")


def _efficiency(truth: Column, found: Findings) -> None:
    # This may be correct, for example outside of the detector; but there the result comes from the simulation alone.
    for region in empty_regions(truth.values[~truth.covered], truth.values[truth.covered]):
        found.flag(
            truth.sample,
            f"none of {truth.of_all(region.count)} events with {truth.name} {region} is reconstructed: the efficiency "
            "is zero there, and the result is the prediction of the simulation; restrict the fiducial region with "
            "selection.truth",
        )


def _support(measured: Column, simulated: Column, found: Findings) -> None:
    regions = empty_regions(measured.values, simulated.values, simulated.weights)
    if measured.of_all(sum(r.count for r in regions)) > 0.5 * measured.count:
        # No re-weighting of the simulation can describe such data: the result is extrapolated.
        found.errors.append(
            f"observables.{measured.observable.name}: more than half of the events of {measured.sample} "
            f"({measured.name}, {quantiles(measured.values)}) lie where {simulated.sample} has none "
            f"({quantiles(simulated.values)}); check that the unit and the definition are the same"
        )
        return
    for region in regions:
        found.flag(
            measured.sample,
            f"{measured.of_all(region.count)} of {measured.count} events have {measured.name} {region}, but "
            f"{simulated.sample} has no event there: the result is extrapolated there",
        )
