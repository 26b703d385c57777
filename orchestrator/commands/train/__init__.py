"""Commands that train, or end what trains."""
