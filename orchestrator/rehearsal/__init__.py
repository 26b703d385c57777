"""Tried before anything is trained: what a sweep will cost, and whether a plug-in keeps its promises."""
