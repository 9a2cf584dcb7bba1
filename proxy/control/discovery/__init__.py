"""Discovery: which backends an upstream has, whoever says so: the file, DNS, a watched file, a source of your own, or
the admin API. Start in service.py; the contract for a source is in base.py.

Law of this package: off the data path. It hands out whole lists of backends, and knows no live backend.
"""
