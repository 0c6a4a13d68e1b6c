"""The abstract machine: it walks a script with flags resolved and follows what every value is made of."""
