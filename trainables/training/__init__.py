"""One fine-tune, epoch by epoch."""
