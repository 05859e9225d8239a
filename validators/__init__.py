"""The judge: checks and scores what miners publish, attests the model."""
