"""What lies on disk: reading files that others may have written, and what a record may hold."""
