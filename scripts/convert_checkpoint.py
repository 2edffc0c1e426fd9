#!/usr/bin/env python
"""Convert released LFDM or MRAA checkpoint files to a folder that `from_pretrained` loads; see `--help`."""

import signal
import sys

from lfdm_diffusers.cli.convert import main

if __name__ == "__main__":
    # A cluster's SIGTERM then cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
