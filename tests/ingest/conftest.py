"""The small files and tables that the tests of readers use."""

from tests.events.conftest import events, mass, nothing_left, record, write_root

__all__ = ["events", "mass", "nothing_left", "record", "write_root"]
