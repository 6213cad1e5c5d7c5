"""Files of the stage `validate`. Each rule has its module, so a change of one type does not rerun other rules."""
