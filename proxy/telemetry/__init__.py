"""Records of requests that are over: the access log, and the top talkers."""
