"""Fuzzing of the codec: bounded in the normal suite, at length by `make fuzz`."""
