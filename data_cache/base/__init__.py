"""What every other room stands on: errors, whole files, locks, progress, devices, recipes, tensor files."""
