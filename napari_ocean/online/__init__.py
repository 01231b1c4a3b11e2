"""The online update (Sec. 4.2): a classifier that is trained while tracking."""
