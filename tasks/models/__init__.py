"""The registered versions of a dataset: looked at, compared, moved by hand, and pruned."""
