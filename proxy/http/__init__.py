"""HTTP semantics without a wire form: forwarding headers, local replies."""
