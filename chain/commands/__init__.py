"""The verbs of the `assay` command, one module each: `describe` adds its flags, `run` does it."""
