"""The commands by what they are for; `flows/cli.py` puts them together."""
