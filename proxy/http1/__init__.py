"""The wire form of HTTP/1.1: the codec, forwarding headers, and responses that the proxy makes itself. Sans-I/O."""
