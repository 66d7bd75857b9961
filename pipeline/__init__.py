"""Export FlowTime runs to tables, check the tables, and turn them back into runs."""
