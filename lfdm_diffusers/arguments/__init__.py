"""Options of the commands and the training scripts alike: their types, and words that they take; and the types of what public functions
are given. It needs nothing else of the package."""
