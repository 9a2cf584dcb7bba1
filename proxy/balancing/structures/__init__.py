"""Data structures of algorithms: weighted sampling, learned records, probe pools."""
