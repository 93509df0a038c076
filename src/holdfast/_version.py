"""The version of the package, in one place: the build reads it, and so may a program."""

__version__ = "0.1.0"
