"""What is registered: artifacts, and how runs and exports become artifacts."""
