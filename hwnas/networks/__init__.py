"""Any torch network: copying, running without values, its operations and layers."""
