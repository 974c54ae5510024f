"""The benchmark of sounds: the same mixtures for every method."""
