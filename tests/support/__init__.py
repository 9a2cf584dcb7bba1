"""What the tests stand on: raw clients and origins, real app servers, a running proxy.

Nothing here knows a single feature; what is expected is written in the test.
"""
