"""Typed errors. Every message names the file, branch or key at fault and the way out."""


class TruthwardError(Exception):
    """Base of all errors that the package raises on purpose."""


class ConfigError(TruthwardError):
    """A key, option, type or name of the config is not valid; found before the first job."""


class InputError(TruthwardError):
    """An input file, branch or column cannot be used as it is; nothing was repaired."""


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
