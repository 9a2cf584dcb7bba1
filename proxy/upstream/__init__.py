"""Where a request goes out: backends, groups of them, connections to them and pools of connections."""
