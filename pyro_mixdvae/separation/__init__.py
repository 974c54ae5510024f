"""Sound in and out: one waveform of several sources, pulled apart."""
