"""The ground: what this machine and its installed libraries offer. Costs no torch."""
