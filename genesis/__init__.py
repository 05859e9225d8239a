"""Chain specifications of the presets; generate.py writes them, a test keeps them current."""
