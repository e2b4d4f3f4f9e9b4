"""The shell around the core: processes, clocks and supervision; replay, simulation and benchmarks in one process."""
