"""What a checkout needs on a machine: environments, Debian packages, provenance."""
