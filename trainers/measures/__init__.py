"""What is measured of networks and representations."""
