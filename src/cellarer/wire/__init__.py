"""How Cellarer speaks with machines: protocols are tables, links carry bytes, devices and faces are generic."""
