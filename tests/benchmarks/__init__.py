"""What Orchestrator costs next to bare dbt: generated projects, CPU seconds, medians and ratios (`make bench`)."""
