"""What tests share: toy data, naive re-derivations, places with commands, faults, a browser."""
