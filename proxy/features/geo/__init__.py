"""The location of a client: from a header of a trusted proxy, a MaxMind database, or a table of networks.

Law of this package: no asyncio, no sockets but for reading an address as text; usable as a library.
"""
