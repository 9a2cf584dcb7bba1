"""Load reports: what a backend reports of its load, and the ways in which a report arrives."""
