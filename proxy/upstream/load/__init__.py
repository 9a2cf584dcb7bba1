"""Load reports of backends: their formats and sources."""
