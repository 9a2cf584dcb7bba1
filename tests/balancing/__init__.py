"""Tests of proxy/balancing: the contract for every algorithm of the table, and each algorithm by itself."""
