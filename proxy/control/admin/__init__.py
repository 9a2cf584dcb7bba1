"""The admin API: what runs, why each backend is in the state it is in, and changes to that."""
