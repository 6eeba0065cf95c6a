"""AWS's public offer files, which a price list is compared with."""
