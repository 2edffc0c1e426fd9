"""Pictures and clips, from files to training examples, read or drawn (docs/data.md). It knows no model and no pipeline."""
