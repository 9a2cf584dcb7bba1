"""Bad and suspicious configurations, each with the report that `qantara check` gives of it.

`NAME.yaml` holds many small configurations. Each begins with a line `--- # what is wrong with it`; the lines before the
first one are keys of the top level that complete every configuration of the file which does not have them itself. They
are put at its end, so that the lines of a report count from the line after `---`. `NAME.txt` holds the reports: exit
code, what is on standard error, and, after "stdout: ", what is on standard output. Comments that begin with these words
are for the test, and part of the configuration too:

    #$ qantara explain GET /x --offline -c c.yaml     this command instead of `qantara check c.yaml`
    #without redis                                    a package that is not installed
    #hangs                                            a call that never returns: no test waits for its time-out

`raw/` has files that are no text, and `generated.py` makes those that are too large to be written down. `beside/` has
files that configurations name; they lie in the working directory of the command.

After a change of a report that is meant: `python -m tests.bad_configs` writes all `.txt` files anew; then read the
difference.
"""
