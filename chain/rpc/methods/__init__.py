"""The methods, one module per namespace."""
