"""`python -m rnnrt`."""

from rnnrt.cli import main

main(prog_name="rnnrt")
