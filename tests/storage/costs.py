"""What a stage cost, as a store keeps it."""

COST = {
    "seconds": 3.5,
    "cached": False,
    "peak_allocated_gib": None,
    "peak_reserved_gib": None,
    "rss_gib": 1.0,
}
