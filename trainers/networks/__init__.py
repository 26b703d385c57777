"""Networks of the two branches, and the rates at which they are stepped."""
