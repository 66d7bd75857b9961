"""Tables of a lake (Delta, Iceberg): what their logs name, and one commit of an export to them."""
