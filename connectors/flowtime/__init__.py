"""What FlowTime writes, read as it is."""
