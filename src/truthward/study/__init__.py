"""The schema of a config: its sections, plug-ins, checks and names. No heavy import happens here."""
