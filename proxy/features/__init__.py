"""What a route may ask for, the hot half: one folder a feature."""
