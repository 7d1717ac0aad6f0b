"""plan, run, judge, confirm: what `run` and a sweep do, asked by one `Ask`."""
