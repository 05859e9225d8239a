"""RocksDB: flat state, the trie, layers and history, blocks."""
