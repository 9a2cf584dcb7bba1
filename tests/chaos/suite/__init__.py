"""What the proxy survives: named scenarios under load, each with a criterion.

backends.py    app servers that do wrong in every way, and can be killed
load.py        clients, and what came of each request
world.py       the proxy between the two
scenario.py    what a scenario is: steps while it runs, criteria afterwards
table.py       all of them
"""
