"""Mutation testing: whether some test notices when the code of money and doors is changed. `make mutants`."""
