"""Tests of proxy/sharding: where keys belong, and which of them move."""
