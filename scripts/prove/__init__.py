"""What the long proofs find, as one table of figures and as JSON: `make prove`."""
