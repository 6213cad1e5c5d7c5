"""From ROOT files to the event table: readers, expressions, selection, and the table that all stages read."""
