"""The stages of a request, one file per word of STAGES (pipeline.py), and common functions."""
