"""The sections of the configuration that are large enough for a file of their own, one each.

Law of this package: models only. What a section is compiled to is decided where it is compiled.
"""
