"""Take one round through learn, design, experiment and analyze, and measure the seeds before the first."""
