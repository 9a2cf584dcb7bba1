"""Discovery: the backends of an upstream, from the configuration, DNS, a watched file, a source of your own, and the
admin API. Start in service.py; the contract for a source is in base.py.

Law of this package: off the data path. Its results are whole lists of backends; it knows no live backend.
"""
