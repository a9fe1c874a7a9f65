"""What lies on disk: files of stage results with their checks, and a folder that is bounded in size."""
