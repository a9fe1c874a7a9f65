"""The parts of `tools.check_versions`: the commands it runs, the process that runs them, the table."""
