"""Random views of images, the same for all cells of a seed."""
