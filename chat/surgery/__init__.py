"""What staff may do to a live conversation: planned, shown, done in one transaction, written down, taken back."""
