"""The version of this node."""

VERSION = "0.1.0"
