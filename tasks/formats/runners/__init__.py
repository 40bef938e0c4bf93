"""A file per format that loads a model and lets it answer, in a process without Polycast."""
