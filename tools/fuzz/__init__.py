"""Changed model files for rnnrt's readers, and the process in which they are tried, for `tools/fuzz_import.py`."""
