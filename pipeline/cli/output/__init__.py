"""What the command line prints: tables, plans, progress, and the streams it prints to."""
