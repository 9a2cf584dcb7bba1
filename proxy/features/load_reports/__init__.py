"""Load reports in response heads, read on the way back."""
