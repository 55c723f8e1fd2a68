"""One image closely, in the browser: what a model sees in it, and what it compares it with."""
