"""What a config may say: its sections, plug-ins, checks and names. No heavy import happens here."""
