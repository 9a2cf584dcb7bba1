"""The client side: listeners, and the connections of clients."""
