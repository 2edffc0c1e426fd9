"""The library of the training scripts: the loop, its checkpoints and options, and one file for each thing that can be trained."""
