"""``python -m pml_hyperbolic.benchmark``: the command line, in the form that torchrun takes."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
