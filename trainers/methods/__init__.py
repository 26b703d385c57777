"""Self-supervised methods, one file each: a `Config` and a `Method`."""
