"""`python -m lfdm_diffusers` is the command `lfdm`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
