"""How the weights are made (Sec. 3.3 and 5.1): data, labels, losses and the loop."""
