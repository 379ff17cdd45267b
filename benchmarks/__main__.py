"""``python -m benchmarks [name …]``: run the measurements and print a table."""

import importlib
import sys

NAMES = ("scan",)


def main() -> None:
    """Run those that are named, or all."""
    for name in sys.argv[1:] or NAMES:
        if name not in NAMES:
            sys.exit(f"benchmarks: '{name}' is unknown; there are {', '.join(NAMES)}")
        ratio = importlib.import_module(f"benchmarks.{name}").run()
        print(f"{ratio.name}: {ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f}, {ratio.pairs} pairs)")


main()
