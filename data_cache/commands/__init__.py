"""The commands `synth`, `check` and `cache`."""
