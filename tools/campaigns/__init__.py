"""Campaigns: many small attempts to make cogexp lose, leak or crash; each has a `--help`."""
