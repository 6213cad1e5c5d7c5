"""When the iterations end."""
