"""Fuzzing of the readers of files."""
