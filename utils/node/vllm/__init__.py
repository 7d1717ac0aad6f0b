"""All that the node knows of vLLM: its server, its load client, its plugins; a second engine would be a package beside this one."""
