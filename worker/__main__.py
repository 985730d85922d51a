"""Makes `python -m worker` the same as `hotswap`."""

from worker.cli import main

if __name__ == "__main__":
    main()
