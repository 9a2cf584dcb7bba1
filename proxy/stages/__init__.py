"""The stages of a request, one file a word of STAGES (pipeline.py), and what they share."""
