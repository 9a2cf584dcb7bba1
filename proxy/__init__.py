"""Qantara: an asyncio layer-7 reverse proxy and load balancer.

client ─▶ accept ─▶ route ─▶ admit ─▶ lookup ─▶ pick ─▶ connect ─▶ send ─▶ relay ─▶ store ─▶ finish ─▶ client

downstream/       accept: listeners, connections of clients, HTTP/1.1 towards them
http1/            bytes to heads and heads to bytes: the codec
exchange.py       one request in flight, its attempts, and the port towards the client
pipeline.py       START HERE: the table CHAIN, and how a plan is linked
routing.py        route: from host, path, method and headers to a route
stages/           route to finish: one file a stage
features/         what a route may ask for, the hot half: a file or folder each
limits/           admit: arithmetic of rate limits and load shedding; bounds on calls that may block
http/             HTTP without a wire form: forwarding headers, replies of the proxy's own
balancing/        pick: one file per algorithm
sharding/         pick: places of keys, as hashes, rings and tables
upstream/         connect, send: groups, backends, pools, HTTP/1.1 towards them; the port towards a backend
telemetry/        finish: the access log, the top talkers
plan.py           the values that requests are served by: PlanSpec, plain, and Plan, linked
runtime.py        the state of a worker that outlives a plan
deadlines.py      time-outs without timers
metrics.py        counters and histograms
scoreboard.py     the memory that processes share
errors.py         every reason of a failed request, every exception
configuration/    beside the path: YAML, checked and compiled to a PlanSpec
control/          beside the path, in the supervisor: health checks, discovery, experiments, the admin API
server/           the processes; `Proxy` is one worker as a library
console/          what commands print and ask
cli.py            the commands
__main__.py       python -m proxy
middleware/       for app servers: load reports
"""

__version__ = "0.1.0"
