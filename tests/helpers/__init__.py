"""What several rooms of tests use: tiny sets, broken sets, synthetic runs, a stand-in for W&B."""
