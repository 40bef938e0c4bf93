"""Faults of training that a user can mend."""


class Diverged(Exception):
    """A loss that is no number any more."""


class MissingPart(Exception):
    """Something this machine lacks, and how to get it."""
