"""How fast, how accurate and how large: ssimlab beside its peers.

``python -m benchmarks`` measures and writes a record (:mod:`benchmarks.record`);
``python -m tools.benchmark_tables`` writes the tables of README.md from it.
"""
