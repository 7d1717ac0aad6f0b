"""What happens inside an allocation: server, load, gates, record. Needs no network and nothing but a vLLM image's packages."""
