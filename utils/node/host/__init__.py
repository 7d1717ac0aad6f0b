"""What runs on a node outside the container: the standard library alone, on any Python from 3.9 on."""
