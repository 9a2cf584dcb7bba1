"""Off the path: the configuration, from YAML to checked values.

Nothing here runs while a request is served, and nothing on the data path imports from here.
"""
