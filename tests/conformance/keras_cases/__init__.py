"""Small models for comparison with Keras, by name in `CASES`."""

from tests.conformance.keras_cases import layers, recurrent, wiring
from tests.conformance.keras_cases.registry import CASES, VOCABULARY, worth_trying

__all__ = ["CASES", "VOCABULARY", "layers", "recurrent", "wiring", "worth_trying"]
