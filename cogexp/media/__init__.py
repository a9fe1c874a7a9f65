"""Clips that people and models made, as their files present them: what is in a file, and its frames."""
