"""HTTP/1.1 towards clients: what a connection reads, and how responses are written on it."""
