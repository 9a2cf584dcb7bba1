"""Balancers that stand before another one: zones, priorities, subsets, partitions, the time guard."""
