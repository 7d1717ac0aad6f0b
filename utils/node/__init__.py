"""What happens inside an allocation: server, load, gates, record. Needs no network, and no packages but those of a server's image."""
