"""Sticky sessions: the token that a client presents, and the backend that it identifies."""
