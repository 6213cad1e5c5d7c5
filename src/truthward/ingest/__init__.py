"""From the files of a sample to its event table, with checks of the samples."""
