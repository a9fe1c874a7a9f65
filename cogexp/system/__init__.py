"""The ground: what the operating system says to a process."""
