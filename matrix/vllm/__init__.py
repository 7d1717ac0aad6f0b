"""What each vLLM version knows: flags, environment, its load client, its metrics. Data, and pure readers of it."""
