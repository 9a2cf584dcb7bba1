"""Limits of admission: rate limits by key, and load shedding of a worker under overload.

Law of this package: pure arithmetic on times and shared cells, without requests. The stages that use it are in
stages/admit.py.

atomic.pyx   cells with more than one writing process
buckets.py   token buckets of all keys, in shared memory
rate.py      rate limits
threads.py   calls that may block for good, with a bound on the wait
shedding.py  the share of each priority that is refused under overload
"""
