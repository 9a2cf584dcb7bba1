"""Where a request comes in: listeners, and the connections that clients open."""
