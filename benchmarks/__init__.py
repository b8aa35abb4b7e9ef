"""The goals of speed on a generated school: `make bench`, or `python -m benchmarks --help`."""
