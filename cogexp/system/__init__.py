"""The ground floor: secrets, text for terminals and file names. Standard library only."""
