"""The emulator beside what the machine can do and beside its peers: `python -m benchmarks.emulator`."""
