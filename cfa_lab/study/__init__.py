"""Many runs: which are done, which go on, how long the rest takes, what they found."""
