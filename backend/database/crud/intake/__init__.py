"""Files on their way in: the lists that take them, how a cell is read, what a row would do."""
