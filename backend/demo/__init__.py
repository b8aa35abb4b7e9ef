"""The demo school «Свет из окна»: in and out with one command, each in one transaction."""

from backend.demo.loading import load
from backend.demo.removing import remove
from backend.demo.summary import Summary

__all__ = ["Summary", "load", "remove"]
