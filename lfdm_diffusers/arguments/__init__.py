"""Options of the commands and the training scripts alike: their types, and words that they take. It needs nothing else of the package."""
