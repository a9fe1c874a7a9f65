"""What the machine has. The standard library and psutil only; imports nothing of this package."""
