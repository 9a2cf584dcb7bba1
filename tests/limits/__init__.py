"""Tests of proxy/limits."""
