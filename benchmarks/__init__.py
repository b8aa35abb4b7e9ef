"""The goals of speed, measured on a generated school: `make bench`, or `python -m benchmarks --help`."""
