"""Chaos: injected faults, and scenarios that the proxy has to survive."""
