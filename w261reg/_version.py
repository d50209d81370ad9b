"""The version, in one place: the build, the package and its reports read it from here."""

__version__ = "0.1.0"
