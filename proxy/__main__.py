"""python -m proxy, the same as the command qantara."""

from .cli import main

raise SystemExit(main())
