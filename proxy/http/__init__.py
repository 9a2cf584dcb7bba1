"""HTTP without a wire form: forwarding headers, responses of the proxy's own."""
