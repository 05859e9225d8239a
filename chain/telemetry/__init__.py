"""What a node shows its operator: logs, metrics, the line of its state, and RPC about itself."""
