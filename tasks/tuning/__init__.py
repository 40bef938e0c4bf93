"""Tuning: trials of other recipes on a dataset's train rows, told apart by their validation rows.

In: a contract, its Shards and a budget. Out: a Tuned with `report.html`, `trials.json`,
`best.yaml` and `recipe.diff`. Test and calibration rows are not read. Every finished trial is kept
under `tuning/` in the storage root as it ends, so that a search that was killed goes on where it
stopped. Raises WrongRequest where a dataset cannot be tuned, MissingPart where a sampler's package
is absent.
"""
