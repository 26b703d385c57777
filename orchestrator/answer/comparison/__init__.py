"""Whether differences are real: cells against one cell, and what each axis does, from records."""
