"""Training subnets: what judges say of payloads, and who checks miners and judges."""
