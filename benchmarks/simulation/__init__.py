"""A discrete-event simulator of fleets of proxies and backends, for balancing algorithms. `world.py` is where to start.

    agenda       events in the order of their times
    server       a backend: processor sharing in virtual time
    antagonists  what other tenants leave of its machine
    arrivals     when requests come, and how much work they are
    reports      what backends tell of themselves
    proxies      a proxy with a real algorithm of proxy.balancing
    world        one run of them all
    scenarios    S1 to S9: what is special about a run
    policies     the rows of the tables; an oracle, and C3
    runs         which runs there are, and doing them
    summary, tables, plots   what comes out

Law of this package: everything comes from seeds; all policies see the same requests and the same capacities.
"""
