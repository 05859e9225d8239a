"""Codecs, hashes, keys, headers, proofs: what every room speaks."""
