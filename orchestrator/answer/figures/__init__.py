"""Figures, and the page on which their panels stand."""
