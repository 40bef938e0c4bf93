"""What the terminal shows of contracts, runs and verdicts."""
