"""The ground that commands and runs stand on: standard streams, memory faults, files that must be written."""
