"""Adapters by which the benchmarks' own programs run our trackers."""
