"""Elections: sequential Phragmen, and the pallet that spreads it over blocks."""
