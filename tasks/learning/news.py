"""What marks a line on the `polycast` log that whoever looks on is to see.

The terminal draws such lines, each under its stage; all others are for those who read a log.
"""

import logging

log = logging.getLogger("polycast")


def told_by(stage: str) -> dict[str, str]:
    """Return the `extra` of a line that a stage tells, beside its beginning and its end."""
    return {"stage": stage, "state": "told"}


def tell_starting(what: str) -> None:
    """Tell what is being started and takes seconds; the terminal shows it until the next news."""
    log.info("starting %s", what, extra={"stage": f"starting {what}", "state": "started"})
