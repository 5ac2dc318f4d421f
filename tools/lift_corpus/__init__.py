"""Models with a recurrence that exporters write as something else than an LSTM, GRU or RNN node."""
