"""What a sweep file says: text, settings, axes, and the specs they amount to."""
