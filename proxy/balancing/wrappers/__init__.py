"""Balancers around another one: partitions (priorities, zones, subset), the fallback without a key, the time guard."""
