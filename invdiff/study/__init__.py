"""Reproducible experiments: configuration, run, report, and the command."""
