"""Types of command-line options, for the commands and the training scripts alike; needs nothing else of the package."""
