"""Processes: what runs, and for how long."""
