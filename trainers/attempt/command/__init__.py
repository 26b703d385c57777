"""Training by any command: its words, its process, what it reports and what it writes."""
