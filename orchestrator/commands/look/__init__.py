"""Commands that look at a sweep, a store or this machine."""
