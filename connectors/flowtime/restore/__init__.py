"""Write run directories back, byte for byte."""
