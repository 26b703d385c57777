"""What a sweep file says of its cells: axes, seeds, and whose encoders their trials start from."""
