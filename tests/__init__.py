"""The tests, in the order of the package: tests/X tests proxy/X. Helpers are in tests/support."""
