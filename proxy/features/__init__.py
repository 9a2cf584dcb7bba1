"""The optional features of routes, their part on the path of a request: one folder per feature."""
