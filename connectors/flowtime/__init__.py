"""Run directories as FlowTime writes them: model, parsers, discovery, scan and restoration."""
