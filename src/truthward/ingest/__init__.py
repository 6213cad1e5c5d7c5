"""From the files of a sample to its event table, and what may be wrong with it."""
