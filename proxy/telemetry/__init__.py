"""What is recorded of requests that are over: the access log, and who asks the most."""
