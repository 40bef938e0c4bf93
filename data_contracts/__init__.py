"""What data means: one YAML contract per dataset, and the typed models that read it."""
