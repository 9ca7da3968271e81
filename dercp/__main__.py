"""`python -m dercp` is `dercp`."""

from dercp.cli import main

if __name__ == "__main__":
    main()
