"""The engine in PyTorch: it takes any model, and reads like the equations."""
