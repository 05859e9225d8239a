"""Content-addressed blobs over HTTP: kept on disk, served by hash, fetched from whoever has them."""
