"""How much may come in: rate limits by key, and what is shed when a worker has more to do than it can.

Law of this package: pure arithmetic on times and shared cells; it knows no requests. The stages that ask it are in
stages/admit.py.

atomic.pyx   cells that more than one process writes
buckets.py   the token buckets of all keys, in shared memory
rate.py      what a rate limit says
shedding.py  how much of which priority is refused under overload
"""
