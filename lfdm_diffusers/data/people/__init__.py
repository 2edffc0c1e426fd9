"""Rendered people: clips of three-dimensional figures with facial actions, their true flow and visibility."""
