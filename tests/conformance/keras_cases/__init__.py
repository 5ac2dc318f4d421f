"""Small models for comparison with Keras, by name in `CASES`."""

from tests.conformance.keras_cases import heads, layers, recurrent, space, wiring
from tests.conformance.keras_cases.registry import CASES, VOCABULARY, worth_trying

__all__ = ["CASES", "VOCABULARY", "heads", "layers", "recurrent", "space", "wiring", "worth_trying"]
