"""FlowTime's file formats, and the storages that hold them."""
