"""Networks, named by the density that they parameterise."""
