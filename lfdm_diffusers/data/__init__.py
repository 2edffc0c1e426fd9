"""Data: the toon-face generator (`toon_faces`)."""
