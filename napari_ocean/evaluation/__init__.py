"""How good the tracker is: protocols, metrics and reports (Sec. 5)."""
