"""What the package costs: small programs that print tables, never run by pytest.

``python -m tests.benchmarks`` runs those that need neither GPU nor display, ``python -m
tests.benchmarks peers --nano FOLDER`` one. Ratios within one run are what counts: absolute times
depend on what else the machine does.
"""
