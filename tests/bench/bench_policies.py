"""The policies of `tests.bench.policies`, for `make bench`."""

from tests.bench.policies import main

if __name__ == "__main__":
    raise SystemExit(main())
