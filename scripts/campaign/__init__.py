"""A stress test of the command line, which compresses a week of hard use into minutes: `python -m campaign`."""
