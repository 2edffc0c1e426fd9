"""Data: reading clips (`layouts`, `clips`, `dataset`, ...) and drawing them (`toon_faces`); see docs/data.md."""
