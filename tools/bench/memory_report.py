"""The figure and the page about long lags, from what long_memory.py measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memory_problems import PROBLEMS
from plots import panels, save

COLOURS = {"SimpleRNN": "#4a6fa5", "LSTM": "#c1440e", "GRU": "#7a9e7e"}
STYLES = {"none": "o--", "clipnorm": "D:", "global_clipnorm": "o-"}
WORDS = {"none": "not clipped", "clipnorm": "clipnorm=1", "global_clipnorm": "global_clipnorm=1"}
LEARNED, BEGUN = 0.1, 0.9
BEGIN, END = "<!-- results: written by tools/bench/long_memory.py -->", "<!-- end of results -->"

Rows = Sequence[dict[str, Any]]


def distinct(rows: Rows, key: str) -> list[Any]:
    """The values of a key, in the order they come."""
    return list(dict.fromkeys(row[key] for row in rows))


def chosen(rows: Rows, **wanted: Any) -> list[float]:
    """Relative losses of the runs that have these values; infinite where the loss was no number."""
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return [float("inf") if row["relative_loss"] is None else row["relative_loss"] for row in found]


def draw(rows: Rows, path: Path, subtitle: str) -> None:
    """Loss over the baseline by lag: a line through the medians, a dot for every network."""
    problems, lags = distinct(rows, "problem"), distinct(rows, "lag")
    kinds, clips = distinct(rows, "kind"), distinct(rows, "clip")
    figure, columns = panels(11, 4.8, len(problems))
    for ax, problem in zip(columns, problems, strict=True):
        for k, kind in enumerate(kinds):
            for j, clip in enumerate(clips):
                # A little aside, so that lines on the baseline do not hide each other.
                aside = 1.025 ** (k * len(clips) + j - len(kinds) * len(clips) / 2)
                by_lag = {lag: chosen(rows, problem=problem, lag=lag, kind=kind, clip=clip) for lag in lags}
                values = [found for found in by_lag.values() if found]
                places = [lag * aside for lag, found in by_lag.items() if found]
                medians = [statistics.median(v) for v in values]
                ax.plot(places, medians, STYLES[clip], color=COLOURS[kind], label=f"{kind}, {WORDS[clip]}",
                        markersize=6, markerfacecolor="white" if clip == "none" else COLOURS[kind])  # fmt: skip
                for place, found in zip(places, values, strict=True):
                    ax.plot([place] * len(found), found, ".", color=COLOURS[kind], alpha=0.45, markersize=5)
        ax.axhline(1, color="black", linewidth=1)
        ax.set_xscale("log")
        if min(chosen(rows, problem=problem)) < LEARNED:
            ax.set_yscale("log")
        else:
            ax.set_ylim(0)
        ax.set_xticks(lags, [str(lag) for lag in lags])
        ax.minorticks_off()
        ax.set_xlabel("lag (steps)")
        ax.set_title(PROBLEMS[problem].title, fontsize=10)
    columns[0].set_ylabel("loss over that of who remembers nothing (1)")
    handles, names = columns[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(kinds), frameon=False, fontsize=8)
    figure.suptitle(subtitle, fontsize=9)
    save(figure, path)


def cell_text(values: list[float]) -> str:
    """The median, with the least and the largest; bold where most networks have learned."""
    if not values:
        return ""
    median = statistics.median(values)
    text = f"{median:.3f} ({min(values):.3f}–{max(values):.3f})".replace("inf", "no number")
    return f"**{text}**" if median <= LEARNED else text


def tables(rows: Rows) -> str:
    """A table for each problem."""
    lags = distinct(rows, "lag")
    parts = []
    for problem in distinct(rows, "problem"):
        lines = [f"| {PROBLEMS[problem].title} | " + " | ".join(f"lag {lag}" for lag in lags) + " |"]
        lines.append("|---|" + "---|" * len(lags))
        for kind in distinct(rows, "kind"):
            for clip in distinct(rows, "clip"):
                cells = [cell_text(chosen(rows, problem=problem, lag=lag, kind=kind, clip=clip)) for lag in lags]
                lines.append(f"| {kind}, {WORDS[clip]} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def verdicts(rows: Rows) -> str:
    """For each problem and lag who has learned, who has begun to, and who has not."""
    lines = []
    for problem in distinct(rows, "problem"):
        for lag in distinct(rows, "lag"):
            groups: dict[str, list[str]] = {"learned": [], "begun": [], "at the baseline": []}
            for kind in distinct(rows, "kind"):
                for clip in distinct(rows, "clip"):
                    values = chosen(rows, problem=problem, lag=lag, kind=kind, clip=clip)
                    if not values:
                        continue
                    median = statistics.median(values)
                    word = "learned" if median <= LEARNED else "begun" if median <= BEGUN else "at the baseline"
                    count = sum(v <= LEARNED for v in values)
                    note = f" ({count} of {len(values)})" if 0 < count < len(values) else ""
                    groups[word].append(f"{kind} {WORDS[clip]}{note}")
            said = "; ".join(f"{word}: {', '.join(names)}" for word, names in groups.items() if names)
            lines.append(f"- {PROBLEMS[problem].title}, lag {lag}: {said}.")
    return "\n".join(lines)


def write_report(folder: Path, settings: Any, rows: Rows) -> None:
    """Draw images/long_memory.png in the folder, and put the results between the marks of its long_memory.md.

    Raises
    ------
    SystemExit
        The page has no marks.
    """
    repeats = len(distinct(rows, "repeat"))
    rates = {row["kind"]: row["learning_rate"] for row in rows}
    subtitle = (
        f"{settings.units} units, {settings.updates} updates with Adam on batches of {settings.batch_size}, "
        f"learning rate {', '.join(f'{rate} ({kind})' for kind, rate in rates.items())}; "
        f"medians and single networks of {repeats} seeds"
    )
    draw(rows, folder / "images" / "long_memory.png", subtitle)
    page = folder / "long_memory.md"
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{page} has no lines {BEGIN!r} and {END!r} to put the results between")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    results = "\n\n".join(
        [
            f"{subtitle}, seed {settings.seed}.",
            "![loss over the baseline by lag](images/long_memory.png)",
            tables(rows),
            f"With a median of at most {LEARNED} of the baseline called learned, and of at most {BEGUN} begun "
            "(in brackets: how many of the seeds have learned, where they differ):",
            verdicts(rows),
        ]
    )
    page.write_text(f"{before}{BEGIN}\n\n{results}\n\n{END}{after}")
