"""The arena never gives two live buffers the same bytes, and does reuse dead ones."""

from hypothesis import given
from hypothesis import strategies as st

from rnnrt.plan.arena import Lifetime, place

lives = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 20), st.integers(0, 20)).map(
        lambda t: (t[0], min(t[1:]), max(t[1:]))
    ),
    max_size=25,
)


@given(lives)
def test_live_buffers_do_not_overlap(rows):
    lifetimes = [Lifetime(i, *row) for i, row in enumerate(rows)]
    offsets, total = place(lifetimes)
    for a in lifetimes:
        assert offsets[a.key] % 64 == 0
        assert offsets[a.key] + a.nbytes <= total
        for b in lifetimes:
            if a.key < b.key and a.first <= b.last and b.first <= a.last:
                assert (
                    offsets[a.key] + max(a.nbytes, 1) <= offsets[b.key]
                    or offsets[b.key] + max(b.nbytes, 1) <= offsets[a.key]
                )


def test_memory_of_dead_buffers_is_reused():
    chain = [Lifetime(i, 1000, i, i + 1) for i in range(10)]
    assert place(chain)[1] == 2 * 1024
