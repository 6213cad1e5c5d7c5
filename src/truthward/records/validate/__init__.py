"""Files of the stage `validate`: a module for each of its rules, so that none reruns for the shape of another."""
