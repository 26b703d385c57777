"""What a sweep will cost, found out by running a little of it."""
