"""The flows, one line per stage, and the command line."""
