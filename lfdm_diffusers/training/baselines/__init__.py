"""The systems that LFDM is compared with (docs/related.md): what each builds from the options of training/train_baseline.py.

Each file but `inputs` has a function `build_task(args, run)`, which the script imports when its system is chosen.
"""
