"""Typed errors. Every message names the file, branch or key at fault and the way out."""

import difflib
from collections.abc import Iterable


class TruthwardError(Exception):
    """Base of all errors that the package raises on purpose."""


class ConfigError(TruthwardError):
    """A key, option, type or name of the config is not valid; found before the first job."""


class InputError(TruthwardError):
    """An input file, branch or column cannot be used as it is; nothing was repaired."""


class VerdictError(TruthwardError):
    """A result has a worse verdict than its publication requires; the message has the reasons."""


class DivergedError(TruthwardError):
    """A training or a weight became non-finite."""


class StaleError(TruthwardError):
    """An artefact or resume state belongs to another spec or other code."""


class CorruptError(TruthwardError):
    """An artefact does not hold what its checksum says."""


class IncompleteError(TruthwardError):
    """Parts of a fanned-out result are missing."""


class SpaceError(TruthwardError):
    """A disk, or a quota on it, is full."""


def nearest(name: str, known: Iterable[str]) -> str:
    """End of a message: the known names closest to `name`, or the first few of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    if close:
        return f"nearest names: {', '.join(close)}"
    return f"there are: {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}" if known else "there are none"
