"""`rnnrt check`: what of a file can be run, trained and streamed, and why not the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.markup import escape

from rnnrt.cli.common import CONSTANT, JSON, MODEL, say, say_json, shape_text
from rnnrt.formats.onnx_test_data import model_in
from rnnrt.models.checking import Report
from rnnrt.models.checking import check as check_file
from rnnrt.models.reasons import Reason


@click.command()
@MODEL
@CONSTANT
@JSON
@click.pass_context
def check(ctx: click.Context, model: str, constants: dict[str, Any], as_json: bool) -> None:
    """List everything in MODEL that rnnrt does not support, and how the rest runs; nothing is written.

    MODEL is a file, or a folder that holds one .onnx file. The exit code is 0 where the network runs, and 1 where it
    does not, or the file is damaged.
    """
    report = check_file(model_in(model), constants=constants)
    if as_json:
        say_json(report.as_dict())
    else:
        _show(report)
    if not report.supported:
        ctx.exit(1)


def _show(report: Report) -> None:
    say(f"[bold]{escape(report.path)}[/]")
    for word, infos in (("input", report.inputs), ("output", report.outputs)):
        for info in infos:
            say(f"  {word} {escape(info.name)}: {info.dtype} {shape_text(info.shape)}")
    if not report.supported:
        say(f"[bold red]not supported[/], for {_number(len(report.reasons), 'reason')}")
        _reasons(report.reasons)
        return
    say("[bold green]supported[/]")
    for words, counts in (
        ("compiled", report.compiled),
        ("by numpy references", report.hosted),
        ("interpreted", report.interpreted),
    ):
        if counts:
            say(f"  {words}: {_counts(counts)}")
    for word, lines in (("lifted", report.lifted), ("not lifted", report.not_lifted)):
        for line in lines:
            say(f"  {word}: {escape(line)}")
    _ability("trained", report.untrainable)
    _ability("streamed", report.unstreamable)
    for source, result in report.states.items():
        say(f"  state: input {escape(source)} is output {escape(result)} after the sequence")
    for note in report.notes:
        say(f"  note: {escape(note)}")


def _ability(what: str, reasons: tuple[Reason, ...]) -> None:
    say(f"[bold]can{'not' if reasons else ''} be {what}[/]")
    _reasons(reasons)


def _reasons(reasons: tuple[Reason, ...]) -> None:
    for reason in reasons:
        say(f"  - {escape(reason.place)}: {escape(reason.what)}")
        say(f"    instead: {escape(reason.workaround)}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{op} {n}" if n > 1 else op for op, n in sorted(counts.items()))


def _number(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("s" if n != 1 else "")
