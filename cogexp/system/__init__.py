"""The ground below everything: what this machine and its network have, and why they refuse."""
