"""Qantara: an asyncio layer-7 reverse proxy and load balancer.

client ─▶ accept ─▶ route ─▶ admit ─▶ lookup ─▶ pick ─▶ connect ─▶ send ─▶ relay ─▶ store ─▶ finish ─▶ client

downstream/   where a request comes in: listeners, client connections, back-pressure
pipeline.py   what it passes through: start here
upstream/     where it goes out: backends, pools, connections to them
balancing/    which backend: one file per algorithm
http1/        bytes to heads and heads to bytes
control/      off the path: YAML to a checked configuration to a plan
server/       processes
"""

__version__ = "0.1.0"
