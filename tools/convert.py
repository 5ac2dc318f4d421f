"""Convert a model file: the same as `rnnrt convert`."""

from rnnrt.cli import main

if __name__ == "__main__":
    import sys

    main(["convert", *sys.argv[1:]], prog_name="convert.py")
