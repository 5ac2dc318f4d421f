"""Names of layers, as Keras hands them out: lstm, lstm_1, lstm_2, ..."""

from __future__ import annotations

_counts: dict[str, int] = {}


def snake_case(name: str) -> str:
    """Keras's way from a class name to a group name: SimpleRNN gives simple_rnn, Conv1D conv1d, PReLU p_re_lu."""
    out: list[str] = []
    for k, c in enumerate(name):
        follows_lower = k > 0 and name[k - 1].islower()
        starts_word = k > 0 and k + 1 < len(name) and name[k + 1].islower()
        if c.isupper() and k and (follows_lower or starts_word):
            out.append("_")
        out.append(c.lower())
    return "".join(out)


def unique_name(prefix: str) -> str:
    """`prefix` at the first call, and with a running number after that."""
    count = _counts.get(prefix, 0)
    _counts[prefix] = count + 1
    return f"{prefix}_{count}" if count else prefix


def reset_names() -> None:
    """Begin anew with the numbers, as `clear_session` does."""
    _counts.clear()
