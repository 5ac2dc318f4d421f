"""Try changed model files on rnnrt's readers: no crash, no hang, no gigabytes, no error but rnnrt's own.

    python tools/fuzz_import.py --minutes 60 --seed 1 --out findings
    python tools/fuzz_import.py --sweep --out findings
    python tools/fuzz_import.py --file findings/003.onnx

Seeds are the model files below the folders given (by default tests/data, rnnrt/demo_data, and the folder that
RNNRT_SHARED names), containers written of them, and ONNX's own cases of single operators. A case is a seed with one to
four changes that know its format (fields of messages, edges, shapes, configurations, datasets, members of archives) or
changes of bytes. It is loaded and run in a process of its own with limited memory and time. Every finding is saved with
its traceback, made smaller, and can be made again from the seed of the run and the number of the case. `--sweep` goes
through ONNX's cases of single operators instead, and gives every attribute and constant extreme values in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuzz.cases import Case, Seed, build, containers_of, draw_case, node_cases, seeds_below
from fuzz.sweep import sweep
from fuzz.worker import Worker

ROOT = Path(__file__).resolve().parents[1]
GOOD = ("ran", "loaded", "refused", "interrupted")
"""Outcomes that are no findings."""

_LARGEST = 600_000
_SAME = 2
"""Findings kept of those that look the same."""


def default_folders() -> list[Path]:
    """Where seeds lie."""
    folders = [ROOT / "tests" / "data", ROOT / "rnnrt" / "demo_data"]
    shared = os.environ.get("RNNRT_SHARED")
    return folders + ([Path(shared)] if shared else [])


def collect(folders: Sequence[Path], with_node_cases: bool, scratch: Path) -> list[Seed]:
    """All seeds, in an order that depends on nothing but what they are."""
    files = seeds_below(folders, _LARGEST)
    seeds = files + (node_cases() if with_node_cases else [])
    small = [seed for seed in seeds if seed.kind not in ("container", "json") and len(seed.data) < 60_000]
    return seeds + containers_of(small[:: max(len(small) // 300, 1)], scratch)


def signature(result: dict[str, Any]) -> tuple[str, str]:
    """What makes two findings the same."""
    return result["outcome"], result.get("where", "")


class Campaign:
    """Cases tried one after another, and what came of them."""

    def __init__(self, seeds: Sequence[Seed], seed: int, out: Path, worker: Worker) -> None:
        self.seeds, self.seed, self.out, self.worker = seeds, seed, out, worker
        self.others = {kind: [s.data for s in seeds if s.kind == kind] for kind in {s.kind for s in seeds}}
        self.outcomes: Counter[str] = Counter()
        self.found: Counter[tuple[str, str]] = Counter()

    def case(self, number: int) -> Case:
        """The case of a number: the same for the same seeds."""
        return draw_case(self.seeds, random.Random(f"{self.seed}:{number}"))

    def try_case(self, case: Case, number: int) -> dict[str, Any]:
        """Write the file of a case and try it."""
        path = self.out / "case"
        path.write_bytes(build(case, self.others[case.seed.kind]))
        return self.worker.try_file(path, number)

    def step(self, number: int) -> None:
        """Try a case; keep it where it is a finding."""
        case = self.case(number)
        result = self.try_case(case, number)
        self.outcomes[f"{case.seed.kind} {result['outcome']}"] += 1
        if result["outcome"] in GOOD:
            return
        self.found[signature(result)] += 1
        if self.found[signature(result)] <= _SAME:
            self.keep(case, number, result)

    def sweep(self) -> int:
        """Every attribute and constant of the ONNX seeds with extreme values; how many cases that were."""
        path, number = self.out / "case", 0
        for number, (what, data) in enumerate(sweep(seed for seed in self.seeds if seed.origin == "operator"), 1):
            path.write_bytes(data)
            result = self.worker.try_file(path, number)
            self.outcomes[f"sweep {result['outcome']}"] += 1
            if result["outcome"] not in GOOD:
                self.found[signature(result)] += 1
                if self.found[signature(result)] <= _SAME:
                    (self.out / f"sweep{number:05d}.onnx").write_bytes(data)
                    self.report(f"sweep{number:05d}.onnx", {"of": what, **result})
        return number

    def report(self, name: str, facts: dict[str, Any]) -> None:
        """Save what is known of a finding, and say so."""
        trace = facts.pop("traceback", "")
        (self.out / f"{name}.txt").write_text(json.dumps(facts, indent=1) + "\n" + trace)
        print(f"{name}: {facts['outcome']} while {facts['phase']}: {facts.get('where', '')}", flush=True)

    def keep(self, case: Case, number: int, result: dict[str, Any]) -> None:
        """Save a finding with as few of its changes as show it."""
        for step in reversed(range(len(case.steps))):
            fewer = case.without(step)
            again = self.try_case(fewer, number)
            if signature(again) == signature(result):
                case, result = fewer, again
        name = f"{number:06d}{Path(case.seed.name).suffix}"
        (self.out / name).write_bytes(build(case, self.others[case.seed.kind]))
        self.report(name, {"number": number, "seed": self.seed, "of": case.seed.name, "steps": case.steps, **result})

    def summary(self) -> str:
        """Counts, as text."""
        lines = [f"{count:8d}  {what}" for what, count in sorted(self.outcomes.items())]
        lines += [f"{count:8d}  finding: {kind}: {where}" for (kind, where), count in self.found.most_common()]
        return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders with seeds")
    parser.add_argument("--minutes", type=float, default=60, help="how long to go on")
    parser.add_argument("--cases", type=int, help="how many cases to try, instead of --minutes")
    parser.add_argument("--seed", type=int, default=1, help="what the draws start from")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--kind", choices=("onnx", "keras", "container", "json"), help="files of one kind alone")
    parser.add_argument("--out", type=Path, default=Path("findings"), help="where findings are saved")
    parser.add_argument("--no-node-cases", action="store_true", help="leave ONNX's cases of single operators out")
    parser.add_argument("--sweep", action="store_true", help="try extreme values in every place instead of drawing")
    parser.add_argument("--file", type=Path, help="try this one file and print what came of it")
    args = parser.parse_args()
    with Worker() as worker:
        if args.file:
            result = worker.try_file(args.file.resolve(), 0)
            print(result.pop("traceback", ""), json.dumps(result, indent=1), sep="\n")
            return int(result["outcome"] not in GOOD)
        args.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            seeds = collect(args.folders or default_folders(), not args.no_node_cases, Path(scratch))
        seeds = [seed for seed in seeds if args.kind in (None, seed.kind)]
        print(f"{len(seeds)} seeds: {dict(Counter(seed.kind for seed in seeds))}", flush=True)
        campaign = Campaign(seeds, args.seed, args.out.resolve(), worker)
        end, number = time.monotonic() + 60 * args.minutes, args.first
        try:
            if args.sweep:
                number = campaign.sweep()
            while not args.sweep and (number < args.first + args.cases if args.cases else time.monotonic() < end):
                campaign.step(number)
                number += 1
        except KeyboardInterrupt:
            pass
    print(campaign.summary())
    (args.out / "summary.txt").write_text(f"cases {args.first} to {number}\n{campaign.summary()}\n")
    return int(bool(campaign.found))


if __name__ == "__main__":
    sys.exit(main())
