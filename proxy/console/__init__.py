"""The commands: their output, and their requests to the admin API."""
