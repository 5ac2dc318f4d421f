"""How many of the onnx package's node cases rnnrt runs, and a table of those it does not, by operator and reason.

python tools/list_onnx_node_cases.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.conformance.test_onnx_node_cases import every_case, not_run


def main() -> None:
    """Print the counts and the table, in Markdown."""
    reasons = not_run()
    left = sum(count for row in reasons.values() for count in row.values())
    print(f"{len(every_case())} cases, {len(every_case()) - left} run, {left} not\n")
    print("| operator | cases | why not |\n|---|---|---|")
    for operator, row in reasons.items():
        for why, count in row.items():
            print(f"| {operator} | {count} | {why.replace('|', chr(92) + '|')} |")


if __name__ == "__main__":
    main()
