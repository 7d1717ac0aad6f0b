"""How a plan is run, collected, judged and shown."""
