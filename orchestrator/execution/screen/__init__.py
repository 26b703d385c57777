"""Who sees or hears what happens to trials: lines of text, and a webhook."""
