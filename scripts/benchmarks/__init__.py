"""The parts of scripts/benchmark.py: input data, a private server, the cases, and the report."""
