"""`python -m pyane` is the `pyane` command."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
