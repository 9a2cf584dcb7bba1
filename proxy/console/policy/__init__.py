"""Algorithms of one's own: what `qantara policy` writes.

    new.py             names that an algorithm may have, and its two files
    skeleton.py        an algorithm that works, with all of the contract
    skeleton_test.py   its test

Law of this package: the skeleton is code of this project, checked and run as all of it is. What a user gets is its
text, in which nothing but names is changed.
"""
