"""``python -m invdiff``."""

from invdiff.study.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
