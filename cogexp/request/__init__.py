"""From words to a checked request: what a setting reads of what it is given."""
