"""One page with the whole answer of a sweep, or of several: to read, to print and to send."""
