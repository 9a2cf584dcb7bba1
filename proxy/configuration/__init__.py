"""From YAML to a checked configuration, and from that to a plan."""
