"""The ground: what this machine, its network and its operating system offer and ask."""
