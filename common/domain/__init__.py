"""The domain: pure values and decisions. Reads no clock, draws no random number, does no I/O."""
