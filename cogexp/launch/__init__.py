"""Where the jobs of a sweep run: in this process, on a Ray cluster, or as Slurm jobs.

Every engine takes checked requests in their order, runs each in a process that keeps its model, and leaves a
record of each, also of one whose process died. What came of them is read from the records, never passed on.
"""
